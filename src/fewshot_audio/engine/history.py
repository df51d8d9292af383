"""The epochs of a run so far: one row of metrics each, and what follows from them."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from fewshot_audio.errors import DataError

STATE_FILE, METRICS_FILE = "state.pt", "metrics.csv"  # in a run's folder, written after every epoch

Row: TypeAlias = dict[str, float]
AfterEpoch: TypeAlias = Callable[[Sequence[Row]], object]
"""Called after an epoch with the rows of all epochs so far; what it raises ends training."""


def best_epoch(history: Sequence[Row]) -> int:
    """Epoch (from 1) of the best validation accuracy, the earliest of equals; without validation the last one."""
    if "val_accuracy" not in history[-1]:
        return len(history)
    return 1 + max(range(len(history)), key=lambda i: (history[i]["val_accuracy"], -i))


def kept_epoch(history: Sequence[Row], keep: Literal["best", "last"]) -> int:
    """Epoch (from 1) whose weights a run that ended here would be left with: the best one, or just the last."""
    return len(history) if keep == "last" else best_epoch(history)


def is_finished(history: Sequence[Row], *, num_epochs: int, patience: int, keep: Literal["best", "last"]) -> bool:
    """Whether training is over: all epochs done, or ``patience`` epochs without a better one to keep."""
    return bool(history) and (len(history) >= num_epochs or len(history) - kept_epoch(history, keep) >= patience)


def metrics_csv(history: Sequence[Row]) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def read_metrics(path: Path) -> list[Row]:
    """Read the rows back. Raises DataError for a file that is missing or not as ``metrics_csv`` writes it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not readable as metrics ({error})") from error
