"""From dataset folders to a recognizer: the network for any sound, tiny, end to end."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.cli.any_sound import build_and_ship
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.registry import SOURCES
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.resnet8 import ResNet8
from fewshot_audio.progress import silent
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.studies.any_sound.build import build_any_sound
from fewshot_audio.studies.any_sound.training import AnySoundSettings
from tests.tiny import write_tiny_dataset

SHORT = Preprocessing(segment_seconds=1.0, n_fft=512, hop_length=256, n_mels=32, fill="silence")
SETTINGS = AnySoundSettings(steps=8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two collections of synthetic sounds."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("One", "Two")):
        source = SOURCES.find("synthetic").make(seed=seed, classes=30, clips=12)
        prepare(source, DatasetFolder(folder / name), SHORT, limits=source.limits, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return build_any_sound(folder, root, ["One", "Two"], calibrated_on="One", settings=SETTINGS)


def test_a_recognizer_is_made_of_the_run(run: Run, root: Path) -> None:
    recognizer = Recognizer.from_run(run.folder, data_root=root)
    assert recognizer.calibration is not None
    assert recognizer.preprocessing == SHORT
    network = recognizer.network
    assert (float(network.norm_mean), float(network.norm_std)) == (0.0, 10.0)
    noise = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    tone = np.sin(0.3 * np.arange(16_000)).astype(np.float32)
    rows = recognizer.embed([(noise, 16_000), (tone, 16_000)])
    assert rows.shape == (2, 256)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)


def test_the_last_layer_is_a_rotation_of_the_principal_axes_of_what_it_reads(run: Run) -> None:
    encoder = run.trained_network().encoder
    assert isinstance(encoder, ResNet8)
    gram = encoder.linear.weight.double().T @ encoder.linear.weight.double()  # a projection, whatever the rotation
    torch.testing.assert_close(gram @ gram, gram, atol=1e-5, rtol=0)
    assert int(gram.trace().round()) == min(encoder.linear.weight.shape)
    variances = encoder.linear.weight.double().square().sum(dim=1)
    torch.testing.assert_close(variances, torch.ones_like(variances), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_bits_and_training_changes_them(run: Run, root: Path, tmp_path: Path) -> None:
    again = build_any_sound(tmp_path / "again", root, ["One", "Two"], calibrated_on="One", settings=SETTINGS)
    shorter = AnySoundSettings(steps=7)
    other = build_any_sound(tmp_path / "other", root, ["One", "Two"], calibrated_on="One", settings=shorter)
    states = [built.trained_network().state_dict() for built in (run, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["encoder.stem.0.weight"], states[2]["encoder.stem.0.weight"])


def test_segments_that_repeat_the_sound_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, "Three")
    folder.preprocessing.write_text(SHORT.model_copy(update={"fill": "repeat"}).to_json())
    with pytest.raises(DataError, match=r"Three: prepared with fill 'repeat', expected 'silence'"):
        build_any_sound(tmp_path / "run", tmp_path, ["Three"], calibrated_on="Three", settings=SETTINGS)


def test_what_is_shipped_was_trained_on_all_and_measured_on_what_was_held_out(root: Path, tmp_path: Path) -> None:
    options = argparse.Namespace(
        name="tiny",
        collections=["One", "Two"],
        measured_on="One",
        exclude=[],
        weight=[("One", 2.0)],
        license=["One: free", "Two: free too"],
        data_root=root,
        output=tmp_path / "runs",
        steps=8,
        seed=0,
    )
    folder = build_and_ship(options, tmp_path / "home", silent)
    recognizer = Recognizer.load(folder)
    assert recognizer.classes == []
    assert recognizer.calibration is not None
    states = [Run.read(tmp_path / "runs" / name).trained_network().state_dict() for name in ("measured", "shipped")]
    shipped = recognizer.network.state_dict()
    assert all(torch.equal(shipped[name], states[1][name]) for name in shipped)
    assert not torch.equal(states[0]["encoder.stem.0.weight"], states[1]["encoder.stem.0.weight"])
    card = (folder / "MODEL_CARD.md").read_text()
    assert "# tiny" in card
    assert "- One: free\n- Two: free too\n" in card
    n_test = len(DatasetFolders.find(root, "One").read_splits().test)
    assert f"5-way on its\n{n_test} test classes, by prototypes, " in card
    with pytest.raises(DataError, match="Three"):
        build_and_ship(argparse.Namespace(**{**vars(options), "measured_on": "Three"}), tmp_path / "home", silent)
    with pytest.raises(DataError, match=r"--weight Three=2: expected one of One, Two, a number > 0"):
        build_and_ship(argparse.Namespace(**{**vars(options), "weight": [("Three", 2.0)]}), tmp_path / "home", silent)


def test_a_dataset_that_is_not_trained_on_measures_what_is_shipped(root: Path, tmp_path: Path) -> None:
    write_alone = argparse.Namespace(
        name="tiny",
        collections=["Two"],
        measured_on="One",
        exclude=[],
        weight=[],
        license=["Two: free"],
        data_root=root,
        output=tmp_path / "runs",
        steps=4,
        seed=0,
    )
    folder = build_and_ship(write_alone, tmp_path / "home", silent)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["shipped"]
    assert Recognizer.load(folder).calibration is not None
    assert "It has learned nothing of One: 5-way on its" in (folder / "MODEL_CARD.md").read_text()
