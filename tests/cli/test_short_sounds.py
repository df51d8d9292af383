"""From drum hits to answers by commands alone: short segments give configs that train, whatever the encoder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.cli.prepare import make_preprocessing
from fewshot_audio.config import check_input, read_configs
from fewshot_audio.config.recipes import recipe_configs
from fewshot_audio.config.segment_fit import fit_to_classes, fit_to_segments
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.errors import ConfigError
from tests.cli.conftest import read
from tests.shell import Shell

REAL = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")
KITS = ("kick", "snare", "clap", "crash", "hihat", "tambourine")
SMALL = {"num_epochs": 2, "n_training_tasks": 2, "n_validation_tasks": 2, "n_testing_tasks": 10, "device": "cpu"}
SETTINGS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve hits of each of six drums."""
    if not REAL or not Path(REAL, "drumkit").is_dir():
        pytest.skip("needs drumkit in FEWSHOT_AUDIO_TEST_DATA")
    folder = tmp_path_factory.mktemp("drums") / "hits"
    for name in KITS:
        (folder / name).mkdir(parents=True)
        for path in sorted(Path(REAL, "drumkit", name).iterdir())[:12]:
            shutil.copy2(path, folder / name)
    return folder


@pytest.mark.parametrize("more", [[], ["--frontend", "pcen", "--n-fft", 512, "--fmin", 50, "--fill", "silence"]])
def test_half_a_second_is_prepared_trained_and_recognized(
    more: list[object], hits: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared = shell(
        *("prepare", "folder", "--source", hits, "--segment-seconds", 0.5, "--way", 2, "--workers", 1, *more)
    )
    assert prepared.code == 0, prepared.err
    preprocessing = read(Path("data/hits/preprocessing.json"))
    assert preprocessing["hop_length"] == 256
    assert preprocessing.get("frontend") == ("pcen" if more else None)
    configs = shell("configs", "--dataset", "hits", "--recipe", "fast", "-o", "config")
    assert "Sizes are for data/hits: segments of 128 mel bins x 32 frames" in configs.out
    experiment, model = read_configs(Path("config/experiment_config.json"), Path("config/model_config.json"))
    assert model.Hybrid.pool_dim == [3, 2]
    assert (experiment.n_way_train, experiment.n_way_test) == (2, 2)
    assert experiment.input_augmentation.gain_db == (0 if more else 6)
    files = ("-e", "config/experiment_config.json", "-m", "config/model_config.json")
    trained = shell("train", *files, *SETTINGS)
    assert trained.code == 0, trained.err
    run = Path("experiments/hits_fast_Hybrid/run-1")
    assert read(run / "run.json")["preprocessing"] == preprocessing
    assert shell("enroll", "--model", run, "--support", hits, "-o", "mine").code == 0
    answers = shell("classify", "mine", hits / "kick", "--format", "json")
    assert answers.code == 0, answers.err
    events = [event for file in json.loads(answers.out)["files"] for event in file["events"]]
    assert sum(event["label"] == "kick" for event in events) > len(events) / 2
    if more:
        refused = shell("train", *files, *SETTINGS, "--set", "input_augmentation.gain_db=6", "--output", "other")
        assert refused.code == 1
        assert "input_augmentation.gain_db" in refused.err
        assert "pcen" in refused.err


def test_a_folder_keeps_the_hop_that_it_was_prepared_with(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    folder.preprocessing.write_text(Preprocessing(segment_seconds=0.5).to_json())  # as versions did that took 512
    assert make_preprocessing(folder, None, segment_seconds=0.5).hop_length == 512
    assert make_preprocessing(folder, None, segment_seconds=0.5, n_mels=64).hop_length == 256
    assert make_preprocessing(folder, 100, segment_seconds=0.5).hop_length == 100
    folder.preprocessing.write_text("{")
    assert make_preprocessing(folder, None, segment_seconds=0.5).hop_length == 256


@pytest.mark.parametrize("encoder", ["CNN", "Hybrid", "ResNet12"])
@pytest.mark.parametrize(("mels", "frames"), [(128, 157), (128, 32), (40, 16), (64, 9), (8, 400)])
def test_configs_fit_segments_of_any_size(encoder: str, mels: int, frames: int) -> None:
    pair = recipe_configs("x", "fast", encoder)  # type: ignore[arg-type]
    experiment, model = fit_to_segments(*pair, mels, frames)
    check_input(experiment, model, mels, frames)
    assert frames > 2 * experiment.specaug_params.W
    if (mels, frames) == (128, 157):
        assert (experiment, model) == pair


def test_what_fits_no_encoder_is_said_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"need 8 frames, but a segment has 5.*smaller --hop"):
        fit_to_segments(*recipe_configs("x", "fast", "ResNet12"), 128, 5)


def test_episodes_have_no_more_classes_than_the_splits() -> None:
    pair = recipe_configs("x", "fast")
    experiment, _ = fit_to_classes(*pair, {"train": 7, "validation": 3, "test": 9})
    assert [experiment.way(phase) for phase in ("train", "validation", "test")] == [7, 3, 5]


def test_without_the_dataset_configs_are_for_5_s(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("configs", "--dataset", "x", "--recipe", "fast", "-o", tmp_path, "--data-root", tmp_path / "no")
    assert outcome.code == 0
    assert "Sizes are for segments of 5 s" in outcome.out
    experiment, model = recipe_configs("x", "fast")
    assert read_configs(tmp_path / "experiment_config.json", tmp_path / "model_config.json") == (experiment, model)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--segment-seconds", 0.05], ["0.05", "make n_fft smaller"]),
        (["--fmax", 9000], ["fmax 9000", "8000"]),
        (["--slowdown", 100], ["slowdown 100", "768000"]),
        (["--frontend", "mfcc"], ["mfcc", "pcen"]),
        (["--fill", "silence", "--compat", "authors-waveforms"], ["silence", "authors-waveforms"]),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[object], words: list[str], shell: Shell, tmp_path: Path
) -> None:
    outcome = shell("prepare", "synthetic", "--data-root", tmp_path, *options)
    assert outcome.code == 2
    assert all(word in " ".join(outcome.err.split()) for word in words), outcome.err
    assert not any(tmp_path.iterdir())
