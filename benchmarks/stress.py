"""Stress tests of trained networks beside what one would do without: all in one figure, on the same tasks.

    python -m benchmarks.stress DATA best=RUN "scenario 1=RUN" --encoder yamnet --output DIR

DATA holds the dataset, prepared with --waveforms. RUNs are run folders of networks without views. Beside them stand
MFCC statistics with logistic regression, and a frozen encoder with the nearest mean of L2-normalized embeddings.
Writes stress.json and stress.png.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.common import machine
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.conditions import Condition, clean, degraded, over_background, task_backgrounds
from fewshot_audio.engine.stress import with_shots, with_wrong_labels
from fewshot_audio.engine.tasks import PlannedTasks, plan_tasks
from fewshot_audio.experiments.evaluate_run import PreparedTest
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.stress import StressPlan, stress_run
from fewshot_audio.experiments.stress_conditions import BACKGROUND_TESTS, background_classes, open_waveform_test
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.frozen.installed import installed_encoder, open_encoder
from fewshot_audio.runtime.figures import new_figure, plot_label, write_figure

Floats = NDArray[np.floating[Any]]
Embed = Callable[[Floats], Floats]
Decide = Callable[[Floats, Floats], Indices]

SHOTS, WRONG = (1, 2, 5, 10, 20), (0.0, 0.2, 0.4)
DEGRADATIONS: tuple[Any, ...] = ("codec", "band", "room", "gain", "clip")
SNR = (0.0, 10.0)
PLAN = StressPlan(SHOTS, WRONG, None, DEGRADATIONS, BACKGROUND_TESTS, SNR)


class Point(NamedTuple):
    """Accuracy of a system in a condition of a test, in percent, and half of its 95 % interval."""

    system: str
    test: str
    condition: str
    value: float
    ci95: float


def mfcc_statistics(samples: Floats) -> Floats:
    """Mean and deviation of 20 MFCC of a segment at 16 kHz. Shape: (samples,) -> (40,)."""
    coefficients = librosa.feature.mfcc(y=librosa.util.normalize(samples), sr=16_000, n_mfcc=20)
    statistics: Floats = np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)])
    return statistics


def regression(support: Floats, queries: Floats) -> Indices:
    """Standardize by the support and fit logistic regression. Shape: (way, shot, d), (n, d) -> (n,)."""
    way, shot, width = support.shape
    rows = support.reshape(-1, width)
    mean, scale = rows.mean(0), 6 / np.sqrt(width) / (rows.std(0) + 1e-6)
    model: Any = LogisticRegression(max_iter=2000).fit((rows - mean) * scale, np.repeat(np.arange(way), shot))
    answers: Indices = model.predict((queries - mean) * scale)
    return answers


def nearest_mean(support: Floats, queries: Floats) -> Indices:
    """The nearest mean of L2-normalized rows. Shape: (way, shot, d), (n, d) -> (n,)."""
    means, rows = unit(support).mean(1), unit(queries)
    answers: Indices = ((means**2).sum(1) - 2 * rows @ means.T).argmin(1)
    return answers


def unit(rows: Floats) -> Floats:
    """Rows of length 1."""
    scaled: Floats = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


class PlainSystem:
    """A function of waveforms and a decision, under the conditions that networks are tested in.

    Args:
        name: in the figure.
        test: the dataset's waveforms and the tasks.
        embed: of a segment.
        decide: labels of queries by the support.
    """

    def __init__(self, name: str, test: PreparedTest, embed: Embed, decide: Decide) -> None:
        self.name, self.test, self.decide, self._embed = name, test, decide, embed
        self._rows: dict[str, dict[int, Floats]] = {}

    def rows(self, condition: str, change: Condition, segments: Indices) -> Floats:
        """Embeddings of segments in a condition, each computed once. Shape: (...) -> (..., width)."""
        kept = self._rows.setdefault(condition, {})
        missing = np.setdiff1d(segments, np.fromiter(kept, np.int64))
        for start in range(0, len(missing), 64):
            part = missing[start : start + 64]
            waveforms = change(self.test.system.data.fetch(part, torch.device("cpu")), part).numpy()
            kept.update(zip(part.tolist(), map(self._embed, waveforms), strict=True))
        return np.stack([kept[segment] for segment in segments.ravel().tolist()]).reshape(*segments.shape, -1)

    def points(self) -> Iterator[Point]:
        """All tests."""
        index, classes = self.test.dataset.data.store.index, self.test.dataset.data.splits
        rate, protocol = 16_000, self.test.protocol
        most = plan_tasks(index, classes.test, replace(protocol, n_shot=max(SHOTS)))
        for shot in SHOTS:
            yield self._point("shots", f"{shot} shot" + "s" * (shot > 1), with_shots(most, shot))
        for share in WRONG:
            wrong = round(share * protocol.n_shot)
            changed = with_wrong_labels(with_shots(most, protocol.n_shot), share)
            yield self._point("noisy-labels", f"{wrong} of {protocol.n_shot} labels wrong", changed)
        planned = plan_tasks(index, classes.test, protocol)
        conditions: dict[str, Condition] = {"": clean} | {name: degraded(name, rate) for name in DEGRADATIONS}
        own = task_backgrounds(*planned.classes.shape)
        names = background_classes(classes.train, own.shape[1])
        for ratio in SNR:
            for number, name in enumerate(names):
                conditions[f"{ratio} {number}"] = over_background(self.test.system, name, ratio)
        none = np.full(own.shape, "", dtype=object)
        for name in ("", *DEGRADATIONS):
            query = np.full(own.shape, name, dtype=object)
            yield self._point("degrade", name or "as recorded", planned, conditions, none, query)
        yield self._point("background", "none", planned, conditions, none, none)
        for ratio in SNR:
            over = np.vectorize(lambda number, ratio=ratio: f"{ratio} {number}", otypes=[object])
            queries = {"swap": over((own + 1) % own.shape[1]), "clean": none, "noisy": over(own)}
            for name in BACKGROUND_TESTS:
                condition = f"{name}, {ratio:g} dB"
                yield self._point("background", condition, planned, conditions, over(own), queries[name])

    def _point(
        self,
        test: str,
        condition: str,
        planned: PlannedTasks,
        conditions: dict[str, Condition] | None = None,
        support: Any = None,
        query: Any = None,
    ) -> Point:
        conditions = conditions or {"": clean}
        n_tasks, way = planned.classes.shape
        none = np.full((n_tasks, way), "", dtype=object)
        support, query = none if support is None else support, none if query is None else query
        asked = planned.queries.segments[..., 0]  # clips of one segment
        rows_of = {}
        for name, change in conditions.items():
            wanted = np.concatenate([planned.support[support == name].ravel(), asked[query == name].ravel()])
            if len(wanted):
                segments = np.unique(wanted)
                rows_of[name] = (segments, self.rows(name, change, segments))

        def take(name: str, segments: Indices) -> Floats:
            known, rows = rows_of[name]
            taken: Floats = rows[np.searchsorted(known, segments)]
            return taken

        accuracy = np.empty(n_tasks)
        for task in range(n_tasks):
            known = np.stack([take(support[task, number], planned.support[task, number]) for number in range(way)])
            rows = np.stack([take(query[task, number], asked[task, number]) for number in range(way)])
            answers = self.decide(known, rows.reshape(-1, rows.shape[-1]))
            accuracy[task] = (answers.reshape(way, -1) == np.arange(way)[:, None]).mean()
        return Point(self.name, test, condition, 100 * float(accuracy.mean()), 100 * ci95(accuracy))


def plot(points: Sequence[Point], file: Path) -> None:
    """One panel for each test, one color for each system."""
    tests, systems = (list(dict.fromkeys(values)) for values in zip(*((p.test, p.system) for p in points), strict=True))
    figure = new_figure(11, 7.5)
    for number, test in enumerate(tests, start=1):
        axes = figure.add_subplot(2, 2, number)
        names = list(dict.fromkeys(point.condition for point in points if point.test == test))
        for place, system in enumerate(systems):
            own = {point.condition: point for point in points if (point.test, point.system) == (test, system)}
            values, errors = ([getattr(own[name], key) for name in names] for key in ("value", "ci95"))
            if test in ("degrade", "background"):
                width = 0.8 / len(systems)
                middles = np.arange(len(names)) + (place - (len(systems) - 1) / 2) * width
                axes.bar(middles, values, width, yerr=errors, label=plot_label(system))
            else:
                axes.errorbar(range(len(names)), values, yerr=errors, marker="o", capsize=2, label=plot_label(system))
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
        axes.set(title=test, ylabel="accuracy, %", ylim=(0, 100))
        axes.grid(axis="y", alpha=0.3)
    figure.axes[0].legend(fontsize="small", loc="lower right")
    with file.open("wb") as stream:
        write_figure(figure, stream, "png")


def main() -> None:
    """Test, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--encoder", help="Name of an encoder that was added.")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    runs = {name: Run.read(Path(folder)) for name, folder in (text.split("=", 1) for text in options.runs)}

    def tested(run: Run) -> ExperimentConfig:
        changes = {"n_testing_tasks": options.tasks, "n_shot_test": 5, "n_query_test": 5}
        return ExperimentConfig.model_validate(run.experiment.model_dump() | changes)

    points = []
    for name, run in runs.items():
        results = stress_run(run, options.data, tested(run), PLAN)
        points += [Point(name, p.test, p.condition, 100 * p.value, 100 * p.ci95) for p in results]
        print(name, "done", flush=True)
    first = next(iter(runs.values()))
    test = open_waveform_test(first, options.data, tested(first), lambda *_: None)
    others = [PlainSystem("27 lines of MFCC", test, mfcc_statistics, regression)]
    if options.encoder:
        encoder = open_encoder(installed_encoder(options.encoder))
        others.append(PlainSystem(options.encoder, test, lambda samples: encoder.embed(samples, 16_000), nearest_mean))
    for system in others:
        points += system.points()
        print(system.name, "done", flush=True)
    plot(points, options.output / "stress.png")
    values = {"machine": machine(), "tasks": options.tasks, "points": [point._asdict() for point in points]}
    (options.output / "stress.json").write_text(json.dumps(values, indent=1))
    systems = list(dict.fromkeys(point.system for point in points))
    print("| test | condition | " + " | ".join(systems) + " |\n|" + "---|" * (2 + len(systems)))
    for test_name, condition in dict.fromkeys((point.test, point.condition) for point in points):
        by_system = {p.system: p for p in points if (p.test, p.condition) == (test_name, condition)}
        cells = [f"{by_system[name].value:.1f} ± {by_system[name].ci95:.1f}" for name in systems]
        print(f"| {test_name} | {condition} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
