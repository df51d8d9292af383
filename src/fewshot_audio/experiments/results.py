"""Results: what runs and experiments write, and its reading, which refuses what contradicts itself.

Damaged files, and files that others made up, are refused by name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, read_json, validate
from fewshot_audio.data.npy_file import NpyFile
from fewshot_audio.engine.history import METRICS_FILE, Row, read_metrics
from fewshot_audio.errors import DataError
from fewshot_audio.functional.statistics import Accuracies, TaskSummary, ci95, summarize_runs

RUN_RESULT_FILE, ACCURACIES_FILE, RESULTS_FILE = "result.json", "test_accuracies.npy", "results.json"
MAX_ACCURACIES = 1 << 30  # bytes
TOLERANCE = 1e-9  # another machine may round the last digit differently
POOLED = "pooled tasks of all runs"


@dataclass(frozen=True)
class RunResult:
    """The content of a finished run's ``result.json``.

    Attributes:
        seed: of the run.
        best_epoch: the epoch (from 1) of the best validation accuracy.
        kept_epoch: the epoch whose weights were kept and tested: the best one, or the last.
        epochs: how many epochs the training had.
        val_accuracy: validation accuracy of the kept epoch; None if it is not known.
        test: the test.
        seconds: duration of training and test.
    """

    seed: int
    best_epoch: int
    kept_epoch: int
    epochs: int
    val_accuracy: float | None
    test: TaskSummary
    seconds: float


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run wrote: its result, and the accuracy of each test task (tasks,)."""

    result: RunResult
    accuracies: Accuracies


@dataclass(frozen=True)
class ExperimentResults:
    """The content of an experiment's ``results.json``.

    Attributes:
        runs: the finished runs.
        accuracy: mean test accuracy over the runs.
        ci95: half width of its 95 % interval, over the pooled tasks.
        std_over_runs: standard deviation over the runs; None for a single run.
        dataset: name of the dataset.
        experiment: config of the experiment.
        model: config of the model.
        versions: of the packages that matter.
    """

    runs: tuple[RunResult, ...]
    accuracy: float
    ci95: float
    std_over_runs: float | None
    dataset: str
    experiment: ExperimentConfig
    model: ModelConfig
    versions: Mapping[str, str]

    def as_json(self) -> Mapping[str, object]:
        """The content of the file."""
        return {
            "runs": [asdict(run) for run in self.runs],
            "accuracy": self.accuracy,
            "ci95": self.ci95,
            "ci95_over": POOLED,
            "std_over_runs": self.std_over_runs,
            "dataset": self.dataset,
            "config": {"experiment": self.experiment.model_dump(), "model": self.model.model_dump()},
            "versions": self.versions,
        }


def read_run_result(run: Path) -> FinishedRun:
    """Read the result of a finished run.

    Raises:
        ConfigError: ``result.json`` cannot be read.
        DataError: a file is missing or damaged, or the two contradict each other; names the file.
    """
    file = run / RUN_RESULT_FILE
    values, accuracies = read_json(file), _read_accuracies(run / ACCURACIES_FILE)
    test = values.get("test")
    if not isinstance(test, dict):
        raise DataError(f"{file}: no section 'test'")
    expected = {"accuracy": float(accuracies.mean()), "std": float(accuracies.std()), "ci95": ci95(accuracies)}
    for key, value in {**expected, "tasks": len(accuracies)}.items():
        check_number(file, test, key, value, f"as in {ACCURACIES_FILE}")
    return FinishedRun(_run_result(file, values), accuracies)


def read_run_metrics(run: Path, result: RunResult) -> list[Row]:
    """Read the epochs of a finished run.

    Raises:
        DataError: the file is damaged, or is not of the run's result.
    """
    file = run / METRICS_FILE
    rows = read_metrics(file)
    if len(rows) != result.epochs:
        raise DataError(f"{file}: {len(rows)} epochs, expected {result.epochs} (as in {RUN_RESULT_FILE})")
    if result.val_accuracy is not None:
        kept = rows[result.kept_epoch - 1]
        check_number(file, kept, "val_accuracy", result.val_accuracy, f"as in {RUN_RESULT_FILE}")
    return rows


def read_experiment_results(folder: Path) -> ExperimentResults:
    """Read the ``results.json`` of an experiment's folder.

    Raises:
        ConfigError: it cannot be read, or its configs are wrong.
        DataError: its numbers contradict each other, or the runs in the folder; names the file and the number.
    """
    file = folder / RESULTS_FILE
    values = read_json(file)
    entries, config = values.get("runs"), values.get("config")
    if not isinstance(entries, list) or not entries or not isinstance(config, dict):
        raise DataError(f"{file}: expected 'runs', a list of results, and 'config'")
    experiment = validate(ExperimentConfig, config.get("experiment"), f"{file}, config.experiment")
    model = validate(ModelConfig, config.get("model"), f"{file}, config.model")
    runs = []
    for number, run in enumerate(entries):
        if not isinstance(run, dict):
            raise DataError(f"{file}: runs[{number}] has no section 'test'")
        runs.append(_run_result(file, run, f"runs[{number}]."))
    means = [run.test.accuracy for run in runs]
    check_number(file, values, "accuracy", sum(means) / len(means), "the mean of its runs")
    _check_runs_of_folder(folder, values, runs)
    dataset, versions = values.get("dataset"), values.get("versions")
    if not isinstance(dataset, str) or not isinstance(versions, dict):
        raise DataError(f"{file}: expected 'dataset', a name, and 'versions', an object")
    spread = values.get("std_over_runs")
    return ExperimentResults(
        runs=tuple(runs),
        accuracy=values["accuracy"],
        ci95=_number(file, values, "ci95"),
        std_over_runs=None if spread is None else _number(file, values, "std_over_runs"),
        dataset=dataset,
        experiment=experiment,
        model=model,
        versions=versions,
    )


def _check_runs_of_folder(folder: Path, values: Mapping[str, Any], runs: Sequence[RunResult]) -> None:
    """Compare the runs in ``results.json`` with what they wrote themselves, if all of them are in the folder."""
    file = folder / RESULTS_FILE
    finished = [read_run_result(path.parent) for path in sorted(folder.glob(f"run-*/{RUN_RESULT_FILE}"))]
    by_seed = {run.result.seed: run for run in finished}
    own = [by_seed[run.seed] for run in runs if run.seed in by_seed]
    if len(own) < len(runs):
        return
    for number, (run, written) in enumerate(zip(runs, own, strict=True)):
        if replace(run, seconds=0) != replace(written.result, seconds=0):
            raise DataError(f"{file}: runs[{number}] is not what the run with seed {run.seed} wrote")
    summary = summarize_runs([run.test for run in runs], [written.accuracies for written in own])
    for key, number_expected in (("ci95", summary.ci95), ("std_over_runs", summary.std_over_runs)):
        if number_expected is not None:
            check_number(file, values, key, number_expected, "as its runs say")


def _run_result(file: Path, values: Mapping[str, Any], where: str = "") -> RunResult:
    """A run's result; one of version 0.1 says as "best_epoch" which epoch was kept."""
    epochs, best = (_integer(file, values, key, where) for key in ("epochs", "best_epoch"))
    kept = _integer(file, values, "kept_epoch", where) if "kept_epoch" in values else best
    for key, epoch in (("best_epoch", best), ("kept_epoch", kept)):
        if not 1 <= epoch <= epochs:
            raise DataError(f"{file}: {where}{key} is {epoch}, of {epochs} epochs")
    if not isinstance(values.get("test"), dict):
        raise DataError(f"{file}: {where}test: no section 'test'")
    return RunResult(
        seed=_integer(file, values, "seed", where),
        best_epoch=best,
        kept_epoch=kept,
        epochs=epochs,
        val_accuracy=None if values.get("val_accuracy") is None else _number(file, values, "val_accuracy", where),
        test=read_test(file, values["test"], f"{where}test."),
        seconds=_number(file, values, "seconds", where),
    )


def read_test(file: Path, test: Mapping[str, Any], where: str = "") -> TaskSummary:
    """Read the summary of a test.

    Args:
        file: where it was read.
        test: a section "test".
        where: the section's place in the file, for the message.

    Raises:
        DataError: a number is missing or impossible; names it.
    """
    tasks, n_way, n_shot, n_query = (
        _integer(file, test, key, where) for key in ("tasks", "n_way", "n_shot", "n_query")
    )
    if tasks < 1:
        raise DataError(f"{file}: {where}tasks is {tasks}, expected at least 1")
    accuracy, interval, std = (_share(file, test, key, where) for key in ("accuracy", "ci95", "std"))
    check_number(file, test, "ci95", 1.96 * std / math.sqrt(tasks), "1.96 std / sqrt(tasks)", where)
    return TaskSummary(accuracy, interval, std, tasks, n_way, n_shot, n_query)


def check_number(file: Path, values: Mapping[str, Any], key: str, expected: float, why: str, where: str = "") -> None:
    """Raise DataError if a number of a file is not what it should be."""
    value = values.get(key)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    ):
        raise DataError(f"{file}: {where}{key} is {value!r}, expected {expected!r} ({why}): damaged, or not a result")


def _share(file: Path, values: Mapping[str, Any], key: str, where: str) -> float:
    value = _number(file, values, key, where)
    if not 0 <= value <= 1:
        raise DataError(f"{file}: {where}{key} is {value!r}, expected a number from 0 to 1")
    return value


def _number(file: Path, values: Mapping[str, Any], key: str, where: str = "") -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{file}: {where}{key} is {value!r}, expected a number")
    return value


def _integer(file: Path, values: Mapping[str, Any], key: str, where: str = "") -> int:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{file}: {where}{key} is {value!r}, expected an integer")
    return value


def _read_accuracies(path: Path) -> Accuracies:
    try:
        file = NpyFile(path)
        if file.dtype is None or file.dtype.kind != "f" or len(file.shape) != 1 or 0 in file.shape:
            raise DataError(f"expected the accuracies of tasks, found {file.descr} {file.shape}")
        accuracies: Accuracies = file.read_array(MAX_ACCURACIES).astype(np.float64)
    except DataError as error:
        raise DataError(f"{path}: not readable as accuracies: {error}") from error
    if not ((accuracies >= 0) & (accuracies <= 1)).all():  # NaN is neither
        raise DataError(f"{path}: an accuracy is not from 0 to 1")
    return accuracies
