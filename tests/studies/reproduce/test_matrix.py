"""Every scenario x encoder x loss x relation head runs from a dataset folder to results, on small data."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from tests.tiny import tiny_configs

SCENARIOS: list[tuple[int, Literal["cpl", "angular"] | None]] = [
    (1, None),
    (2, None),
    (3, None),
    (4, "cpl"),
    (4, "angular"),
    (5, "cpl"),
    (5, "angular"),
]


@pytest.mark.parametrize("relation", [False, True], ids=["distance", "relation"])
@pytest.mark.parametrize("encoder", ["CNN", "Hybrid"])
@pytest.mark.parametrize(("scenario", "loss"), SCENARIOS, ids=lambda value: str(value or "no loss"))
def test_it_runs_end_to_end(
    tiny_dataset: Path,
    tmp_path: Path,
    scenario: int,
    loss: Literal["cpl", "angular"] | None,
    encoder: Literal["CNN", "Hybrid"],
    relation: bool,
) -> None:
    changes = {"num_epochs": 1, "n_testing_tasks": 4, "relation_head": relation, "multi_segm": True}
    experiment, model = tiny_configs(changes, scenario=scenario, loss=loss or "cpl", encoder=encoder)
    results = run_experiment(experiment, model, tiny_dataset, tmp_path)

    assert finite(results.as_json())
    assert results.as_json() == json.loads((tmp_path / "tiny" / "results.json").read_text())
    assert 0 <= results.accuracy <= 1
    assert results.runs[0].epochs == 1
    run = Run.read(tmp_path / "tiny" / "run-1")
    start, end = run.untrained_network().state_dict(), run.trained_network().state_dict()
    modules = {"encoder"}
    modules |= {"attention"} if scenario in (3, 5) else set()
    modules |= {"projection"} if scenario in (4, 5) else set()
    modules |= {"relation"} if relation else set()
    assert {name.partition(".")[0] for name in end} == modules | {"norm_mean", "norm_std"}
    for module in modules:
        assert any(not torch.equal(start[name], end[name]) for name in end if name.startswith(f"{module}."))
    assert all(value.isfinite().all() for value in end.values())
    accuracies = np.load(run.folder / "test_accuracies.npy")
    assert accuracies.shape == (4,)
    assert results.accuracy == pytest.approx(accuracies.mean())


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)
