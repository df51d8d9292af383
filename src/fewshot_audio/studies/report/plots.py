"""The plots of a report: arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.engine.history import Row
from fewshot_audio.files import write_atomic
from fewshot_audio.functional.reliability import Reliability
from fewshot_audio.runtime.figures import new_figure, plot_labels, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
CURVES = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}


def curves(runs: Mapping[str, Sequence[Row]], kept_epochs: Mapping[str, int]) -> "Figure":
    """One panel per quantity, one line per run; a dot marks the epoch (from 1) whose weights were tested."""
    figure = new_figure(11, 5.2)
    for number, (key, title) in enumerate(CURVES.items(), start=1):
        axes = figure.add_subplot(2, 2, number)
        for name, rows in runs.items():
            epochs, values = [row["epoch"] for row in rows], [row[key] for row in rows]
            (line,) = axes.plot(epochs, values, label=name, linewidth=1.2)
            kept = kept_epochs[name] - 1
            axes.plot(epochs[kept], values[kept], "o", color=line.get_color(), markersize=5)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.25)
        if number == 1 and len(runs) > 1:
            axes.legend(fontsize="small")
    return figure


def class_accuracies(names: Sequence[str], accuracy: Floats, ci95: Floats) -> "Figure":
    """Accuracy of each test class's queries with its interval, the hardest class first.

    Shape:
        accuracy and ci95: (classes,).
    """
    figure = new_figure(7, 0.28 * len(names) + 1.2)
    axes = figure.add_subplot()
    order = np.argsort(-accuracy, kind="stable")
    places = range(len(names))
    axes.barh(places, 100 * accuracy[order], xerr=100 * ci95[order], color="#4c78a8", height=0.7)
    labels = plot_labels(names)
    axes.set_yticks(places, [labels[i] for i in order])
    axes.set(xlabel="accuracy of its queries, %", xlim=(0, 100))
    axes.grid(axis="x", alpha=0.25)
    return figure


def confusion(names: Sequence[str], share: Floats) -> "Figure":
    """Share of a row's queries that were answered with the column's class, among the tasks with both classes.

    Shape:
        share: (classes, classes); NaN for classes that were in no common task.
    """
    size = 0.42 * len(names) + 2.2
    figure = new_figure(size + 0.8, size)
    axes = figure.add_subplot()
    image = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    labels = plot_labels(names)
    axes.set_xticks(range(len(names)), labels, rotation=60, ha="right", fontsize="small")
    axes.set_yticks(range(len(names)), labels, fontsize="small")
    axes.set(xlabel="answer", ylabel="true class")
    if len(names) <= 20:
        for row, column in np.ndindex(*share.shape):
            if np.isfinite(share[row, column]):
                color = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize="x-small", color=color)
    figure.colorbar(image, ax=axes, shrink=0.8, label="%")
    return figure


def shots(numbers: Sequence[int], experiments: Sequence[tuple[str, Floats, Floats]], way: int) -> "Figure":
    """Accuracy over the number of support clips, one line per experiment.

    Args:
        numbers: numbers of support clips per class.
        experiments: of each, its name, the accuracies and the half widths of their 95 % intervals, both (numbers,).
        way: classes of a task.
    """
    figure = new_figure(6, 3.6)
    axes = figure.add_subplot()
    labels = plot_labels([name for name, _, _ in experiments])
    for label, (_, mean, ci95) in zip(labels, experiments, strict=True):
        axes.errorbar(numbers, 100 * mean, yerr=100 * ci95, marker="o", capsize=3, label=label)
    axes.set(xlabel="shots (support clips per class)", ylabel=f"{way}-way accuracy, %", xticks=list(numbers))
    axes.grid(alpha=0.25)
    if len(experiments) > 1:
        axes.legend(fontsize="small")
    return figure


def embedding_map(names: Sequence[str], points: Floats, labels: NDArray[np.int64], explained: Floats) -> "Figure":
    """Test clips on the first two principal components of their embeddings.

    Args:
        names: the classes.
        points: the clips on the components, (clips, 2).
        labels: index of each clip's class, (clips,).
        explained: the share of the variance along each component, (2,).
    """
    figure = new_figure(8.5, 5.5)
    axes = figure.add_subplot()
    for number, label in enumerate(plot_labels(names)):
        own = points[labels == number]
        marker = "os^DvPX*"[number // 10 % 8]
        axes.scatter(own[:, 0], own[:, 1], s=18, marker=marker, color=f"C{number % 10}", label=label, alpha=0.8)
    axes.set(
        xlabel=f"first component ({100 * explained[0]:.0f} % of the variance)",
        ylabel=f"second component ({100 * explained[1]:.0f} %)",
    )
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(names) // 30)
    return figure


def reliability_diagram(bins: Reliability) -> "Figure":
    """Share of correct answers over the probability of the answer."""
    figure = new_figure(4.6, 4.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    filled = bins.counts > 0
    axes.bar(bins.confidence[filled], bins.accuracy[filled], width=0.9 / len(filled), color="#4c78a8", alpha=0.85)
    axes.set(xlabel="probability of the answer", ylabel="share of correct answers", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.25)
    return figure


def spectrogram(features: Floats) -> "Figure":
    """Draw a log-mel spectrogram. Shape: (mels, frames)."""
    figure = new_figure(2.6, 1.5)
    axes = figure.add_subplot()
    axes.imshow(features, origin="lower", aspect="auto", cmap="magma", vmin=np.percentile(features, 5))
    axes.set_axis_off()
    return figure


def save(figures: Mapping[str, "Figure"], folder: Path) -> list[Path]:
    """Write each figure as PNG and SVG into ``folder``."""
    paths = []
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            paths.append(folder / f"{name}.{kind}")
            write_atomic(paths[-1], partial(write_figure, figure, kind=kind, dpi=150))
    return paths
