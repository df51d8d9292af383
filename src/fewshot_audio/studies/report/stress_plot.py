"""The figure of a run's stress tests."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewshot_audio.experiments.stress import StressPoint
from fewshot_audio.runtime.figures import new_figure, plot_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X_LABELS = {
    "shots": "shots (support clips per class)",
    "noisy-labels": "share of wrong support labels",
    "class-incremental": "classes so far",
}


def plot_stress(points: Sequence[StressPoint]) -> "Figure":
    """One panel per test: a line if its conditions are numbers, bars if they are names."""
    tests = list(dict.fromkeys(point.test for point in points))
    figure = new_figure(3.6 * len(tests) + 0.6, 3.4)
    for number, test in enumerate(tests, start=1):
        axes = figure.add_subplot(1, len(tests), number)
        own = [point for point in points if point.test == test]
        line = [point for point in own if point.x is not None]
        if line:
            values, intervals = [100 * point.value for point in line], [100 * point.ci95 for point in line]
            places = [point.x for point in line if point.x is not None]
            axes.errorbar(places, values, yerr=intervals, marker="o", capsize=3)
            axes.set(xlabel=X_LABELS.get(test, test), xticks=places)
            notes = [f"{point.condition} {100 * point.value:.1f}" for point in own if point.x is None]
            axes.set_title(
                "\n".join(plot_labels([f"{test}, {line[0].n_shot}-shot" if test != "shots" else test, *notes])),
                fontsize="small",
            )
        else:
            bars = range(len(own))
            axes.bar(bars, [100 * point.value for point in own], yerr=[100 * point.ci95 for point in own], capsize=3)
            axes.set_xticks(
                bars, plot_labels([point.condition for point in own]), rotation=40, ha="right", fontsize="small"
            )
            axes.set_title(plot_labels([test])[0], fontsize="small")
        axes.set(ylabel="accuracy, %" if number == 1 else "", ylim=(0, 100))
        axes.grid(alpha=0.25)
    return figure
