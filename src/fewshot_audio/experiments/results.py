"""Read results again, and refuse those that contradict themselves: damaged files, and files that others made up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, read_json, validate
from fewshot_audio.data.npy_file import NpyFile
from fewshot_audio.engine.history import METRICS_FILE, Row, read_metrics
from fewshot_audio.errors import DataError
from fewshot_audio.functional.statistics import Accuracies, ci95, summarize_runs

RUN_RESULT_FILE, ACCURACIES_FILE, RESULTS_FILE = "result.json", "test_accuracies.npy", "results.json"
MAX_ACCURACIES = 1 << 30  # bytes
TOLERANCE = 1e-9  # another machine may round the last digit differently


@dataclass(frozen=True)
class RunResult:
    """What a finished run wrote.

    Attributes:
        values: the content of ``result.json``.
        accuracies: accuracy of each test task. Shape: (tasks,).
    """

    values: dict[str, Any]
    accuracies: Accuracies


def read_run_result(run: Path) -> RunResult:
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
    epochs, best_epoch = (_integer(file, values, key) for key in ("epochs", "best_epoch"))
    if not 1 <= best_epoch <= epochs:
        raise DataError(f"{file}: best_epoch is {best_epoch}, of {epochs} epochs")
    _integer(file, values, "seed")
    return RunResult(values, accuracies)


def read_run_metrics(run: Path, result: RunResult) -> list[Row]:
    """Read the epochs of a finished run.

    Raises:
        DataError: the file is damaged, or is not of the run's result.
    """
    file = run / METRICS_FILE
    rows = read_metrics(file)
    if len(rows) != result.values["epochs"]:
        raise DataError(f"{file}: {len(rows)} epochs, expected {result.values['epochs']} (as in {RUN_RESULT_FILE})")
    if result.values.get("val_accuracy") is not None:
        best = rows[result.values["best_epoch"] - 1]
        check_number(file, best, "val_accuracy", result.values["val_accuracy"], f"as in {RUN_RESULT_FILE}")
    return rows


def read_results(folder: Path) -> dict[str, Any]:
    """Read the ``results.json`` of an experiment's folder.

    Raises:
        ConfigError: it cannot be read, or its configs are wrong.
        DataError: its numbers contradict each other, or the runs in the folder; names the file and the number.
    """
    file = folder / RESULTS_FILE
    values = read_json(file)
    runs, config = values.get("runs"), values.get("config")
    if not isinstance(runs, list) or not runs or not isinstance(config, dict):
        raise DataError(f"{file}: expected 'runs', a list of results, and 'config'")
    validate(ExperimentConfig, config.get("experiment"), f"{file}, config.experiment")
    validate(ModelConfig, config.get("model"), f"{file}, config.model")
    for number, run in enumerate(runs):
        if not isinstance(run, dict) or not isinstance(run.get("test"), dict):
            raise DataError(f"{file}: runs[{number}] has no section 'test'")
        check_test(file, run["test"], f"runs[{number}].test.")
    means = [run["test"]["accuracy"] for run in runs]
    check_number(file, values, "accuracy", sum(means) / len(means), "the mean of its runs")
    finished = {}
    for path in sorted(folder.glob(f"run-*/{RUN_RESULT_FILE}")):
        result = read_run_result(path.parent)
        finished[result.values["seed"]] = result
    own = [finished.get(run.get("seed")) for run in runs]
    if all(own):
        in_folder = cast(list[RunResult], own)
        for number, (run, result) in enumerate(zip(runs, in_folder, strict=True)):
            if {**run, "seconds": None} != {**result.values, "seconds": None}:
                raise DataError(f"{file}: runs[{number}] is not what the run with seed {run['seed']} wrote")
        summary = summarize_runs([item.values for item in in_folder], [item.accuracies for item in in_folder])
        for key in ("ci95", "std_over_runs"):
            if summary[key] is not None:
                check_number(file, values, key, summary[key], "as its runs say")
    return values


def check_test(file: Path, test: Mapping[str, Any], where: str = "") -> None:
    """Check that the summary of a test can be one.

    Args:
        file: where it was read.
        test: a section "test", as ``summarize_tasks`` makes it.
        where: the section's place in the file, for the message.

    Raises:
        DataError: a number is missing or impossible; names it.
    """
    tasks = _integer(file, test, "tasks", where)
    if tasks < 1:
        raise DataError(f"{file}: {where}tasks is {tasks}, expected at least 1")
    for key in ("accuracy", "std", "ci95"):
        value = test.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"{file}: {where}{key} is {value!r}, expected a number from 0 to 1")
    check_number(file, test, "ci95", 1.96 * test["std"] / math.sqrt(tasks), "1.96 std / sqrt(tasks)", where)


def check_number(file: Path, values: Mapping[str, Any], key: str, expected: float, why: str, where: str = "") -> None:
    """Raise DataError if a number of a file is not what it should be."""
    value = values.get(key)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    ):
        raise DataError(f"{file}: {where}{key} is {value!r}, expected {expected!r} ({why}): damaged, or not a result")


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
