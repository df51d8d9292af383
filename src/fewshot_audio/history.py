"""The epochs of a run so far: one row of metrics each, and what follows from them."""

import csv
import io
from collections.abc import Sequence
from typing import TypeAlias

from fewshot_audio.config import ExperimentConfig

Row: TypeAlias = dict[str, float]


def best_epoch(history: Sequence[Row]) -> int:
    """Epoch (from 1) of the best validation accuracy, the earliest of equals."""
    return 1 + max(range(len(history)), key=lambda i: (history[i]["val_accuracy"], -i))


def finished(experiment: ExperimentConfig, history: Sequence[Row]) -> bool:
    """Whether training is over: all epochs done, or ``patience`` epochs without an improvement."""
    return bool(history) and (
        len(history) >= experiment.num_epochs or len(history) - best_epoch(history) >= experiment.patience
    )


def metrics_csv(history: Sequence[Row]) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
