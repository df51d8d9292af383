"""The history of a run: its files, a row of metrics for each epoch so far, and whether training is over."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor

from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text
from fewshot_audio.runtime.tensor_file import load_tensors

# In a run's folder, written after every epoch.
WEIGHTS_FILE, STATE_FILE, METRICS_FILE = "model.pt", "state.pt", "metrics.csv"

Row: TypeAlias = dict[str, float]
AfterEpoch: TypeAlias = Callable[[Sequence[Row]], object]
"""Called after an epoch with the rows of all epochs so far; an error that it raises ends training."""


def best_epoch(history: Sequence[Row]) -> int:
    """Epoch (from 1) of the best validation accuracy, the earliest of equals; without validation the last one."""
    if "val_accuracy" not in history[-1]:
        return len(history)
    return 1 + max(range(len(history)), key=lambda i: (history[i]["val_accuracy"], -i))


def kept_epoch(history: Sequence[Row], keep: Literal["best", "last"]) -> int:
    """Epoch (from 1) whose weights are kept if the run ends now: the best one, or the last."""
    return len(history) if keep == "last" else best_epoch(history)


def is_finished(history: Sequence[Row], *, num_epochs: int, patience: int, keep: Literal["best", "last"]) -> bool:
    """Whether training is over: all epochs done, or ``patience`` epochs without a better one to keep."""
    return bool(history) and (len(history) >= num_epochs or len(history) - kept_epoch(history, keep) >= patience)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the kept weights of a run.

    Raises:
        DataError: the file is missing, damaged, or holds anything but finite weights; says what can be done.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; the run has not finished its first epoch")
    try:
        weights = load_tensors(path)
        if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
            raise DataError(f"{path}: not the weights of a network")
        for name, value in weights.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise DataError(f"{path}: {name} holds numbers that are not finite")
    except DataError as error:
        raise DataError(f"{error}. Restore it from a copy, or delete {folder} and train the run again") from error
    return weights


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read the training state of a run; None if it has not finished its first epoch.

    Raises:
        DataError: the file is damaged; says which epochs are lost, and what can be done.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        state = load_tensors(path)
        if not isinstance(state, dict) or not isinstance(state.get("history"), list) or not state["history"]:
            raise DataError(f"{path}: not the state of a training")
    except DataError as error:
        raise DataError(
            f"{error}. The run cannot go on after {_describe_epochs(folder)}: restore the file from a copy, or delete "
            "it and resume: the run is then trained again from its first epoch, to the same weights"
        ) from error
    return state


def _describe_epochs(folder: Path) -> str:
    try:
        return f"epoch {len(read_metrics(folder / METRICS_FILE))}"
    except DataError:
        return "its last epoch"


def write_metrics(path: Path, history: Sequence[Row]) -> None:
    """Write the rows as CSV, atomically."""
    write_text(path, csv_table(list(history[0]), history))


def read_metrics(path: Path) -> list[Row]:
    """Read the rows again. Raises DataError if the file is missing or not as ``write_metrics`` writes it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not readable as metrics ({error})") from error
