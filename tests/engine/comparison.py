"""What two experiments must have in common to the bit."""

import csv
import json
from pathlib import Path
from typing import Any

import torch


def outcome(folder: Path) -> dict[str, Any]:
    """Weights, metrics, scores and results of an experiment's folder, without the seconds that they took."""
    runs = {run.name: run_outcome(run) for run in sorted(folder.glob("run-*"))}
    return {"runs": runs, "results": without_seconds(json.loads((folder / "results.json").read_text()))}


def run_outcome(run: Path) -> dict[str, Any]:
    return {
        "model": tensors(run / "model.pt"),
        "metrics": metrics(run),
        "result": without_seconds(json.loads((run / "result.json").read_text())),
        "accuracies": (run / "test_accuracies.npy").read_bytes(),
    }


def tensors(path: Path) -> dict[str, tuple[torch.dtype, tuple[int, ...], bytes]]:
    """A state dict as bytes, so that equal means bit-equal."""
    state = torch.load(path, weights_only=True)
    return {name: (value.dtype, tuple(value.shape), value.numpy().tobytes()) for name, value in state.items()}


def metrics(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(inner) for key, inner in value.items() if key != "seconds"}
    return [without_seconds(inner) for inner in value] if isinstance(value, list) else value
