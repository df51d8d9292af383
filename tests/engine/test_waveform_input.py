"""Waveform input: the same scores as spectrogram input, views by waveform augmentation, clear refusals."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.synthetic import Synthetic
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.functional.prototypes import prototypes
from fewshot_audio.models.build import build_network
from tests.tiny import tiny_configs

SECONDS = 1.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waveforms")
    source = Synthetic(classes=18, clips=5, seconds=2.0)
    preprocessing = Preprocessing.of(segment_seconds=SECONDS)
    prepare(source, DatasetFolder(root / "Tiny"), preprocessing, waveforms=True, workers=1)
    return root


def wave_configs(
    changes: dict[str, Any] | None = None, scenario: int = 1, **chosen: Any
) -> tuple[ExperimentConfig, ModelConfig]:
    views = scenario in (2, 3, 5)
    wave = {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": views}
    small = {"n_training_tasks": 2, "n_validation_tasks": 2, "n_testing_tasks": 4, "num_epochs": 1}
    return tiny_configs({**wave, **small, **(changes or {})}, scenario=scenario, **chosen)


def test_scores_equal_those_of_spectrogram_input(root: Path) -> None:
    scores = {}
    for kind in ("spec", "wav"):
        experiment, model = wave_configs({"input_type": kind})
        dataset = open_dataset(root, experiment)
        torch.manual_seed(0)
        network = build_network(experiment, model, *dataset.input_shape)
        network.set_normalization(dataset.mean, dataset.std)
        network.eval()
        segments = torch.arange(40).numpy()
        with torch.no_grad():
            rows = (
                NetworkSystem.test(network, experiment, dataset.data).embed_untransformed(segments).rows.flatten(0, 2)
            )
            scores[kind] = network.score(prototypes(rows[:20].view(4, 5, -1)), rows[20:])
    assert scores["wav"].std() > 0.01
    assert_close(scores["wav"], scores["spec"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("scenario", "loss"), [(1, "cpl"), (2, "cpl"), (3, "cpl"), (4, "angular"), (5, "angular")])
def test_every_scenario_trains_on_waveforms(root: Path, tmp_path: Path, scenario: int, loss: str) -> None:
    experiment, model = wave_configs(scenario=scenario, loss=loss)
    results = run_experiment(experiment, model, root, tmp_path)
    assert 0 <= results.accuracy <= 1
    assert (tmp_path / "tiny" / "run-1" / "model.pt").is_file()


def test_number_of_views_is_aug_num_plus_one(root: Path) -> None:
    experiment, _ = wave_configs({"waveaug_params.aug_num": 2}, scenario=2)
    dataset = open_dataset(root, experiment)
    maker, store = dataset.data.views, dataset.data.store
    draw = maker.draw(6, store.shape, torch.Generator().manual_seed(0))
    network = build_network(*wave_configs(), *dataset.input_shape)
    raw = torch.from_numpy(store.read(torch.arange(6).numpy()))
    views = maker.views(network, raw, draw)
    assert views.shape == (6, 3, *dataset.input_shape)
    assert_close(views[:, :1], maker.plain(network, raw))
    assert not torch.isclose(views[:, 1:], views[:, :1]).flatten(2).all(-1).any()
    part = maker.views(network, raw[2:4], maker.select(draw, slice(2, 4)))
    assert_close(part, views[2:4])


def test_without_waveforms_the_way_to_them_is_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "Tiny", tmp_path / "Tiny", ignore=shutil.ignore_patterns("waveforms_npy", ".store"))
    with pytest.raises(DataError, match="prepare --waveforms"):
        open_dataset(tmp_path, wave_configs()[0])


def test_without_statistics_adapting_transforms_are_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "Tiny", tmp_path / "data" / "Tiny")
    DatasetFolder(tmp_path / "data" / "Tiny").wave_stats.unlink()
    experiment, model = wave_configs(scenario=2)
    with pytest.raises(ConfigError, match=r"wave_stats\.json"):
        run_experiment(experiment, model, tmp_path / "data", tmp_path / "experiments")
    assert not (tmp_path / "experiments" / "tiny" / "run-1" / "state.pt").exists()
