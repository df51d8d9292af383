"""The published network at its real size, on two threads: the same bits again, and after an interruption."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.engine.episode_loss import EpisodeResult, episode_loss
from fewshot_audio.errors import Interrupted
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.engine.comparison import outcome

pytestmark = pytest.mark.soak

SMALL = {"num_runs": 1, "num_epochs": 3, "n_training_tasks": 3, "n_validation_tasks": 3, "n_testing_tasks": 5}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    folder = DatasetFolder(root / "Noise")
    random = np.random.default_rng(0)
    names = [f"class-{number:02}" for number in range(15)]
    for name in names:
        (folder.features / name).mkdir(parents=True)
        for clip in range(10):
            segments = random.normal(-40, 10, size=(1, 128, 157)).astype(np.float32)
            np.save(folder.features / name / f"{clip}.npy", segments)
    write_splits(folder.splits, Splits(tuple(names[:5]), tuple(names[5:10]), tuple(names[10:])))
    write_norm(folder.norm_stats, -40.0, 10.0)
    return root


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scenario", [1, 5])
def test_two_threads_repeat_and_resume_to_the_same_bits(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: int, precision: str
) -> None:
    experiment, model = scenario_configs("Noise", scenario, "angular")
    changes = SMALL | {"experiment_folder": "same", "device": "cpu", "precision": precision}
    experiment = ExperimentConfig.model_validate(experiment.model_dump() | changes)
    calls = 0

    def interrupt(*arguments: object) -> EpisodeResult:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return episode_loss(*arguments)  # type: ignore[arg-type]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run_experiment(experiment, model, data_root, tmp_path / "once")
        run_experiment(experiment, model, data_root, tmp_path / "again")
        with monkeypatch.context() as patch:
            patch.setattr("fewshot_audio.engine.module.episode_loss", interrupt)
            with pytest.raises(Interrupted):
                run_experiment(experiment, model, data_root, tmp_path / "interrupted")
        torch.set_num_threads(1)  # the run's own number comes back
        run_experiment(experiment, model, data_root, tmp_path / "interrupted", resume=True)
    finally:
        torch.set_num_threads(threads)
    once, again, interrupted = (outcome(tmp_path / name / "same") for name in ("once", "again", "interrupted"))
    assert again == once
    assert interrupted == once
