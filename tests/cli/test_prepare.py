"""``fewshot-audio prepare``, and the whole way from recordings to a tested network by commands alone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.splits import Splits, write_splits
from tests.cli.conftest import read
from tests.shell import Shell

CLASSES, CLIPS, RATE = 6, 5, 16_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of five tones of half a second, a file that is no audio, and an empty one."""
    folder = tmp_path_factory.mktemp("recordings") / "My sounds"
    random = np.random.default_rng(0)
    time = np.arange(RATE // 2) / RATE
    for number in range(CLASSES):
        directory = folder / f"tone {number}"
        directory.mkdir(parents=True)
        for clip in range(CLIPS):
            tone = np.sin(2 * np.pi * 200 * (number + 1) * time) + 0.3 * random.normal(size=len(time))
            soundfile.write(directory / f"{clip}.wav", 0.5 * tone, RATE)
    (folder / "tone 0" / "broken.wav").write_bytes(b"this is no audio")
    (folder / "tone 1" / "empty.WAV").write_bytes(b"")
    return folder


def test_from_recordings_to_a_tested_network(recordings: Path, tmp_path: Path, shell: Shell) -> None:
    root, configs, out = tmp_path / "data", tmp_path / "config", tmp_path / "out"
    prepared = shell(
        *("prepare", "folder", "--source", recordings, "--data-root", root, "--name", "Tones"),
        *("--way", 2, "--segment-seconds", 0.5, "--workers", 1),
    )
    assert prepared.code == 0, prepared.err
    assert "32 inputs: 30 prepared, 2 skipped" in prepared.out
    assert f"see {root / 'Tones' / 'skipped.csv'}" in prepared.out
    assert "Classes: 2 train, 2 validation, 2 test." in prepared.out
    skipped = (root / "Tones" / "skipped.csv").read_text()
    assert "broken.wav" in skipped
    assert "empty.WAV" in skipped

    assert shell("configs", "--dataset", "tones", "--scenario", 1, "-o", configs).code == 0
    settings = [f"n_{what}_{phase}=2" for what in ("way", "shot") for phase in ("train", "validation", "test")]
    settings += [f"n_query_{phase}=3" for phase in ("train", "validation", "test")]
    settings += ["num_runs=1", "num_epochs=1", "n_training_tasks=2", "n_testing_tasks=20", "device=cpu"]
    trained = shell(
        *("train", "-e", configs / "experiment_config.json", "-m", configs / "model_config.json"),
        *("--data-root", root, "--output", out, "--set", "Hybrid.pool_dim=[2, 2]"),
        *(part for setting in settings for part in ("--set", setting)),
    )
    assert trained.code == 0, trained.err
    run = out / "tones_scenario-1_Hybrid" / "run-1"
    assert read(run / "run.json")["preprocessing"] == read(root / "Tones" / "preprocessing.json")
    evaluated = shell("evaluate", run, "--data-root", root, "--n-shot", 1, "--tasks", 10)
    assert "Tones: 2-way 1-shot, 10 tasks of 3 queries per class, trained:" in evaluated.out


def test_the_folder_names_the_dataset_and_splits_may_be_given(recordings: Path, tmp_path: Path, shell: Shell) -> None:
    names = [f"tone {number}" for number in (4, 2, 0, 5, 1, 3)]
    write_splits(tmp_path / "splits.npy", Splits(tuple(names[:3]), tuple(names[3:5]), ("tone 3",)))
    outcome = shell(
        *("prepare", "folder", "--source", recordings, "--data-root", tmp_path, "--splits", tmp_path / "splits.npy"),
        *("--workers", 1, "--segment-seconds", 0.5, "--waveforms"),
    )
    assert outcome.code == 0, outcome.err
    assert "Classes: 3 train, 2 validation, 1 test." in outcome.out
    folder = DatasetFolder(tmp_path / "My sounds")
    assert len(list(folder.waveforms.rglob("*.npy"))) == len(list(folder.features.rglob("*.npy"))) == CLASSES * CLIPS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["folder"], "source 'folder' needs --source DIR"),
        (["esc50"], "source 'esc50' needs --source DIR"),
        (["synthetic", "--source", "x"], "leave out --source"),
        (["folder", "--source", "x", "--segment-seconds", "0"], "segment_seconds: Input should be greater than 0"),
        (["folder", "--source", "x", "--max-seconds", "-1"], "clips of at most -1 s: expected a length above 0"),
        (["folder", "--source", "x", "--name", "../x"], "--name '../x': expected the name of a folder in --data-root"),
        (["folder", "--source", "data/x"], "data/x is in the folder of the recordings: choose another --data-root"),
        (["synthetic", "--workers", "2", "--cluster", "tcp://127.0.0.1:1"], "--workers concerns this machine"),
        (["folder", "--source", "."], "is in the folder of the recordings: choose another --data-root"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], words: str, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = shell("prepare", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_an_absent_folder_of_recordings_is_named(tmp_path: Path, shell: Shell) -> None:
    outcome = shell("prepare", "folder", "--source", tmp_path / "nowhere", "--data-root", tmp_path / "data")
    assert outcome.code == 1
    assert f"{tmp_path / 'nowhere'} is not a folder" in outcome.err
    assert not (tmp_path / "data").exists()


def test_too_few_classes_say_what_a_smaller_way_needs(recordings: Path, tmp_path: Path, shell: Shell) -> None:
    outcome = shell("prepare", "folder", "--source", recordings, "--data-root", tmp_path, "--workers", 1)
    assert outcome.code == 1
    assert "6 classes are too few for 5-way tasks" in outcome.err
    assert "these allow 2-way tasks" in outcome.err
