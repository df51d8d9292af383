"""Stress tests of a run, and the file in its folder that keeps their results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from fewshot_audio.audio.degrade import Degradation
from fewshot_audio.config import ExperimentConfig, read_json
from fewshot_audio.engine.stress import class_incremental, task_test, with_shots, with_wrong_labels
from fewshot_audio.engine.tasks import plan_tasks
from fewshot_audio.errors import ConfigError, DataError, plural
from fewshot_audio.experiments.evaluate_run import PreparedTest, open_test
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.stress_conditions import (
    BackgroundTest,
    ConditionResult,
    backgrounds,
    degradations,
    open_waveform_test,
)
from fewshot_audio.files import write_json
from fewshot_audio.functional.statistics import Z95, Accuracies, ci95
from fewshot_audio.progress import Progress, silent

STRESS_FILE = "stress.json"
MOST_POINTS = 1000


@dataclass(frozen=True)
class StressPoint:
    """One number of a stress test, a mean over tasks.

    Attributes:
        test: "shots", "noisy-labels", "class-incremental", "degrade" or "background".
        condition: what was varied, such as "5 shots".
        x: the same as a number: shots, share of wrong labels, classes; None for a number about the whole test.
        value: an accuracy, or a difference of accuracies, as a fraction of 1.
        ci95: half width of its 95 % interval.
        tasks: number of tasks.
        n_way: classes of a task.
        n_shot: support clips of a class.
        n_query: query clips of a class.
        dataset: whose test classes the tasks are made of.
    """

    test: str
    condition: str
    x: float | None
    value: float
    ci95: float
    tasks: int
    n_way: int
    n_shot: int
    n_query: int
    dataset: str

    @classmethod
    def read(cls, file: Path, values: Any) -> Self:
        """Check what a file holds. Raises DataError."""
        kinds: dict[str, type | tuple[type, ...]] = dict.fromkeys(("test", "condition", "dataset"), str)
        kinds |= dict.fromkeys(("tasks", "n_way", "n_shot", "n_query"), int)
        kinds |= dict.fromkeys(("value", "ci95"), (int, float)) | {"x": (int, float, type(None))}
        if not isinstance(values, dict) or values.keys() != kinds.keys():
            raise DataError(f"{file}: expected points with the keys {', '.join(sorted(kinds))}")
        for key, kind in kinds.items():
            if isinstance(values[key], bool) or not isinstance(values[key], kind):
                raise DataError(f"{file}: {key} of a point is {values[key]!r}")
        if not -1 <= values["value"] <= 1 or not 0 <= values["ci95"] <= Z95:
            raise DataError(f"{file}: a point has the value {values['value']} ± {values['ci95']}, expected shares of 1")
        return cls(**values)


@dataclass(frozen=True)
class StressPlan:
    """What to vary; what is empty or None is not tested.

    Attributes:
        shots: numbers of support clips per class.
        wrong_labels: shares of wrong labels in the support.
        per_session: classes that are added in each session of the class-incremental test.
        degradations: of the queries; the support is as recorded.
        backgrounds: how support and queries are over backgrounds.
        snr: ratios of sound to background, dB.
    """

    shots: Sequence[int] = ()
    wrong_labels: Sequence[float] = ()
    per_session: int | None = None
    degradations: Sequence[Degradation] = ()
    backgrounds: Sequence[BackgroundTest] = ()
    snr: Sequence[float] = (0.0, 10.0)


def stress_run(
    run: Run, data_root: Path, experiment: ExperimentConfig, plan: StressPlan, progress: Progress = silent
) -> list[StressPoint]:
    """Test a run's network under stress, and keep the results in its folder beside those of other stress tests.

    Args:
        run: a trained run.
        data_root: folder of the dataset folders.
        experiment: says which dataset, which test tasks and which device.
        plan: what to vary.
        progress: called while segments are embedded.

    Raises:
        ConfigError: the test classes are too few or too small for it.
        DataError: the dataset does not fit the run, or the file of former results is damaged.
    """
    former = read_stress(run.folder)
    if plan.per_session is not None and experiment.algorithm.adapts:
        raise ConfigError(
            f"{run.folder}: algorithm.name is {experiment.algorithm.name!r}, whose network has a score for each of "
            f"{experiment.n_way_test} classes: no classes can be added to them"
        )
    shot = experiment.n_shot_test
    if plan.shots:  # so that the dataset is checked for them
        experiment = experiment.model_copy(update={"n_shot_test": max(shot, *plan.shots)})
    test = open_test(run, data_root, experiment, progress=progress)
    test = test._replace(protocol=replace(test.protocol, n_shot=shot))
    points = [*_variants(test, plan, progress)]
    if plan.degradations or plan.backgrounds:
        own = experiment.model_copy(update={"n_shot_test": shot})
        waveforms = open_waveform_test(run, data_root, own, progress)
        results: list[ConditionResult] = []
        if plan.degradations:
            results += degradations(waveforms, plan.degradations, progress)
        if plan.backgrounds:
            results += backgrounds(waveforms, plan.backgrounds, plan.snr, progress)
        points += [_point(waveforms, result.test, result.condition, None, result.accuracy) for result in results]
    if plan.per_session is not None:
        points += _incremental(test, plan.per_session, progress)
    tested = {point.test for point in points}
    kept = [point for point in former if point.test not in tested]
    write_json(run.folder / STRESS_FILE, {"points": [asdict(point) for point in (*kept, *points)]})
    return points


def read_stress(run: Path) -> list[StressPoint]:
    """Read the results of a run's stress tests; empty if there were none. Raises DataError or ConfigError."""
    file = run / STRESS_FILE
    if not file.is_file():
        return []
    points = read_json(file).get("points")
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        raise DataError(f"{file}: expected 'points', a list of at most {MOST_POINTS}")
    return [StressPoint.read(file, point) for point in points]


def _variants(test: PreparedTest, plan: StressPlan, progress: Progress) -> Iterator[StressPoint]:
    if not plan.shots and not plan.wrong_labels:
        return
    classes = test.dataset.data.splits.test
    protocol = test.protocol
    most = replace(protocol, n_shot=max(protocol.n_shot, *plan.shots, 1))
    planned = plan_tasks(test.dataset.data.store.index, classes, most)
    run_test = task_test(test.system, planned, progress)
    for shot in sorted(set(plan.shots)):
        accuracy = run_test(with_shots(planned, shot))
        yield _point(test, "shots", plural(shot, "shot"), shot, accuracy, n_shot=shot)
    shares = {round(share * protocol.n_shot): share for share in plan.wrong_labels}
    for wrong, share in sorted(shares.items()):
        accuracy = run_test(with_wrong_labels(with_shots(planned, protocol.n_shot), share))
        condition = f"{wrong} of {plural(protocol.n_shot, 'label')} wrong"
        yield _point(test, "noisy-labels", condition, wrong / protocol.n_shot, accuracy)


def _incremental(test: PreparedTest, per_session: int, progress: Progress) -> list[StressPoint]:
    classes = test.dataset.data.splits.test
    sessions = len(classes) // per_session
    if sessions < 2:
        raise ConfigError(
            f"--class-incremental {per_session}: {test.dataset.folders} has {plural(len(classes), 'test class')}, "
            "expected at least two sessions of them"
        )
    protocol = replace(test.protocol, n_way=sessions * per_session, joint_sampling="free")
    planned = plan_tasks(test.dataset.data.store.index, classes, protocol)
    result = class_incremental(test.system, planned, per_session, progress)
    name = "class-incremental"
    points = [
        _point(test, name, f"{count} classes", count, result.sessions[:, number], n_way=count)
        for number, count in enumerate(range(per_session, protocol.n_way + 1, per_session))
    ]
    summaries = {"average accuracy": result.average, "drop": result.drop, "forgetting": result.forgetting}
    return points + [
        _point(test, name, condition, None, values, n_way=protocol.n_way) for condition, values in summaries.items()
    ]


def _point(
    test: PreparedTest,
    name: str,
    condition: str,
    x: float | None,
    values: Accuracies,
    **changes: int,
) -> StressPoint:
    protocol = test.protocol
    shape: Mapping[str, int] = {"n_way": protocol.n_way, "n_shot": protocol.n_shot, "n_query": protocol.n_query}
    return StressPoint(
        test=name,
        condition=condition,
        x=x,
        value=float(values.mean()),
        ci95=ci95(values),
        tasks=len(values),
        dataset=test.dataset.folders.name,
        **{**shape, **changes},
    )
