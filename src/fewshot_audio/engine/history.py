"""The history of a run: a row of metrics for each epoch so far, the best epoch, and whether training is over."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text

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
