"""``fewshot-audio augment``: the files it writes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.data.layout import DatasetFolder
from tests.shell import Shell

RATE = 16_000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Noise of 3 s."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=3 * RATE), RATE)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFolder:
    """A dataset folder with segments of 2 s, as far as this command reads it."""
    folder = DatasetFolder(tmp_path / "data" / "Tiny")
    write_wave_stats(folder.wave_stats, WaveStats(centroid=2000.0, bandwidth=1500.0, flatness=0.2))
    folder.preprocessing.write_text(Preprocessing.of(segment_seconds=2.0).to_json())
    return folder


def test_views_have_the_segment_length_of_the_dataset(
    recording: Path, dataset: DatasetFolder, tmp_path: Path, shell: Shell
) -> None:
    outcome = shell("augment", recording, "-o", tmp_path / "out", "--dataset", dataset.path, "--segment", 1)
    assert outcome.code == 0, outcome.err
    paths = sorted((tmp_path / "out").iterdir())
    assert sorted(outcome.out.splitlines()) == [str(path) for path in paths]
    assert {path.suffix for path in paths} == {".wav", ".png"}
    assert {soundfile.info(path).frames for path in paths if path.suffix == ".wav"} == {2 * RATE}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--segment", "1"], "--segment is 1, but the recording has 1 segment ("),
        (["--dataset", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: list[str], words: str, recording: Path, tmp_path: Path, shell: Shell
) -> None:
    outcome = shell("augment", recording, "-o", tmp_path / "out", *arguments)
    assert outcome.code == 1
    assert words in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_dataset_without_waveform_statistics_says_how_to_get_them(
    recording: Path, dataset: DatasetFolder, tmp_path: Path, shell: Shell
) -> None:
    dataset.wave_stats.unlink()
    outcome = shell("augment", recording, "-o", tmp_path / "out", "--dataset", dataset.path)
    assert outcome.code == 1
    assert f"{dataset.path} has no waveform statistics (wave_stats.json): prepare it with --waveforms" in outcome.err


def test_overrides_need_an_experiment_file(recording: Path, tmp_path: Path, shell: Shell) -> None:
    outcome = shell("augment", recording, "-o", tmp_path / "out", "--set", "seed=1")
    assert outcome.code == 2
    assert "--set changes keys of an experiment file: give one with -e" in outcome.err


def test_a_damaged_preprocessing_file_is_named(
    recording: Path, dataset: DatasetFolder, tmp_path: Path, shell: Shell
) -> None:
    dataset.preprocessing.write_text('{"n_mels": 0}')
    outcome = shell("augment", recording, "-o", tmp_path / "out", "--dataset", dataset.path)
    assert outcome.code == 1
    assert f"{dataset.preprocessing}: n_mels: " in outcome.err
