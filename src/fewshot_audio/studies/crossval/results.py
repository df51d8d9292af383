"""What a cross-validation writes: the result of a training, and the comparison of the candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.errors import DataError
from fewshot_audio.functional.statistics import Accuracies, ci95
from fewshot_audio.studies.crossval.plan import Candidate


@dataclass(frozen=True)
class ShotResult:
    """A test at one number of shots: mean accuracy, half width of its 95 % interval, and number of tasks."""

    accuracy: float
    ci95: float
    tasks: int

    @classmethod
    def of(cls, accuracies: Accuracies) -> "ShotResult":
        """Summarize the accuracies of tasks (tasks,)."""
        return cls(float(accuracies.mean()), ci95(accuracies), len(accuracies))


@dataclass(frozen=True)
class TrainingResult:
    """The numbers of a training that did not diverge.

    Attributes:
        shots: the tests, by their number of shots.
        train_loss: of the last epoch.
        train_accuracy: of the last epoch; beside the tests it shows memorization.
        seconds_per_episode: of training.
        parameters: of the network.
        runtime: device, precision and threads.
    """

    shots: Mapping[int, ShotResult]
    train_loss: float
    train_accuracy: float
    seconds_per_episode: float
    parameters: int
    runtime: Mapping[str, Any]

    def as_json(self) -> Mapping[str, object]:
        """What the training's file holds of it."""
        return {**asdict(self), "shots": {str(shot): asdict(test) for shot, test in self.shots.items()}}


@dataclass(frozen=True)
class DivergedTraining:
    """A training whose loss became infinite, and where."""

    diverged: str

    def as_json(self) -> Mapping[str, object]:
        """What the training's file holds of it."""
        return asdict(self)


def read_training_result(
    file: Path, values: Mapping[str, Any], shots: Sequence[int]
) -> TrainingResult | DivergedTraining:
    """Read the content of a training's file, which has tests at ``shots``.

    Raises:
        DataError: numbers are missing, or no test gives them; names the file.
    """
    if "diverged" in values:
        return DivergedTraining(str(values["diverged"]))
    tests, expected = values.get("shots"), [str(shot) for shot in shots]
    if not isinstance(tests, dict) or list(tests) != expected:
        raise DataError(f"{file}: expected 'shots' {', '.join(expected)}; delete the file to train and test again")
    keys = ("train_loss", "train_accuracy", "seconds_per_episode", "parameters")
    if not all(isinstance(values.get(key), int | float) for key in keys):
        raise DataError(f"{file}: expected numbers as {', '.join(keys)}; delete the file to train and test again")
    return TrainingResult(
        shots={int(shot): _read_shot(file, shot, test) for shot, test in tests.items()},
        **{key: values[key] for key in keys},
        runtime=values.get("runtime", {}),
    )


def _read_shot(file: Path, shot: str, test: Any) -> ShotResult:
    accuracy, interval, tasks = (
        test.get(key) if isinstance(test, dict) else None for key in ("accuracy", "ci95", "tasks")
    )
    numbers = [value for value in (accuracy, interval) if isinstance(value, int | float) and 0 <= value <= 1]
    if len(numbers) < 2 or not isinstance(tasks, int) or tasks < 1:
        raise DataError(f"{file}: shots.{shot} is {test}, which no test gives; delete the file to test again")
    return ShotResult(numbers[0], numbers[1], tasks)


@dataclass(frozen=True)
class ShotComparison:
    """A candidate at one number of shots, beside the base on the same folds; None where one of them has diverged.

    Attributes:
        n_shot: support clips per class.
        accuracy: mean over the folds.
        per_fold: accuracy on each fold.
        difference: from the base's accuracy.
        interval: half width of the difference's 95 % interval; None for a single fold or candidate too.
    """

    n_shot: int
    accuracy: float | None
    per_fold: Sequence[float] | None
    difference: float | None
    interval: float | None


@dataclass(frozen=True)
class CandidateRow:
    """A candidate at the last rung at which it was compared with the base.

    Attributes:
        name: of the candidate.
        changes: the keys that set it apart from the base.
        epochs: of each training.
        folds: how many folds are compared.
        diverged: where trainings diverged.
        shots: the numbers at each number of shots.
        seconds_per_episode: median over the trainings; None if all diverged.
        parameters: of the network; None if all trainings diverged.
    """

    name: str
    changes: Mapping[str, Any]
    epochs: int
    folds: int
    diverged: Sequence[str]
    shots: Sequence[ShotComparison]
    seconds_per_episode: float | None
    parameters: int | None

    def as_json(self) -> Mapping[str, object]:
        """The row as ``crossval.json`` has it."""
        return {("set" if key == "changes" else key): value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Comparison:
    """All candidates, the best first, and what they were trained and tested on.

    Attributes:
        base: the candidate that the others are compared with.
        tasks: test tasks per fold.
        seeds: of the trainings on each fold.
        rungs: the steps of successive halving, as the command line has them.
        folds: the classes of each fold.
        interval: how intervals are computed.
        candidates: the rows.
    """

    base: Candidate
    tasks: int
    seeds: Sequence[int]
    rungs: Sequence[str]
    folds: Sequence[Sequence[str]]
    interval: str
    candidates: Sequence[CandidateRow]

    def as_json(self) -> Mapping[str, object]:
        """The content of ``crossval.json``."""
        experiment = self.base.experiment
        return {
            "dataset": experiment.dataset_name,
            "n_way": experiment.n_way_test,
            "n_query": experiment.n_query_test,
            "tasks": self.tasks,
            "seeds": list(self.seeds),
            "rungs": list(self.rungs),
            "folds": [list(classes) for classes in self.folds],
            "interval": self.interval,
            "candidates": [row.as_json() for row in self.candidates],
            "base": {"experiment": experiment.model_dump(), "model": self.base.model.model_dump()},
        }
