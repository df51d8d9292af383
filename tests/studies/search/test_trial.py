"""A training of a study: what another training left in its folder is no part of it."""

from pathlib import Path

import pytest

from fewshot_audio.engine.history import STATE_FILE
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.studies.holdout import open_development
from fewshot_audio.studies.trial import run_trial
from tests.tiny import tiny_configs


@pytest.mark.parametrize(
    ("changes", "encoder"), [({"score_scale": 7.0}, "Hybrid"), ({"seed": 3}, "Hybrid"), ({}, "CNN")]
)
def test_a_folder_of_another_training_is_begun_anew(
    tiny_dataset: Path, tmp_path: Path, changes: dict[str, float], encoder: str
) -> None:
    """A study that was stopped for good leaves the folder of its trial to the next study in the same place."""
    former, model = tiny_configs({"num_epochs": 1})
    run_trial(tmp_path / "trial-0", former, model, open_development(tiny_dataset, former))
    experiment, model = tiny_configs({"num_epochs": 1, "encoder_name": encoder, **changes})
    dataset = open_development(tiny_dataset, experiment)
    fresh = run_trial(tmp_path / "fresh", experiment, model, dataset)
    result = run_trial(tmp_path / "trial-0", experiment, model, dataset)
    numbers = [[{k: v for k, v in row.items() if k != "seconds"} for row in trial.history] for trial in (result, fresh)]
    assert numbers[0] == numbers[1]
    assert type(result.network.encoder).__name__ == encoder
    run = Run.read(tmp_path / "trial-0")
    assert (run.experiment, run.model, run.seed) == (experiment, model, experiment.seed)


def test_a_finished_epoch_of_the_same_training_is_kept(tiny_dataset: Path, tmp_path: Path) -> None:
    experiment, model = tiny_configs({"num_epochs": 1})
    dataset = open_development(tiny_dataset, experiment)
    first = run_trial(tmp_path / "trial", experiment, model, dataset)
    written = (tmp_path / "trial" / STATE_FILE).stat().st_mtime_ns
    elsewhere = experiment.model_copy(update={"data_root": str(tmp_path)})  # may change on resuming
    again = run_trial(tmp_path / "trial", elsewhere, model, dataset)
    assert again.history == first.history
    assert (tmp_path / "trial" / STATE_FILE).stat().st_mtime_ns == written
