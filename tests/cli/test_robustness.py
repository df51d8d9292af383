"""What a command must survive: folders that cannot be written, names with brackets, contradicting flags."""

import re
from pathlib import Path

import pytest

from tests.shell import Shell
from tests.tiny import write_tiny_dataset


@pytest.fixture
def line(files: list[object], tiny_dataset: Path) -> list[object]:
    return ["train", *files, "--data-root", tiny_dataset, "--set", "num_epochs=1"]


def test_a_folder_that_cannot_be_written_is_an_error_without_traceback(
    line: list[object], tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "file").touch()
    outcome = shell(*line, "--output", tmp_path / "file")
    assert outcome.code == 1
    assert str(tmp_path / "file") in outcome.err


def test_overwrite_deletes_experiments_only(line: list[object], tmp_path: Path, shell: Shell) -> None:
    letter = tmp_path / "out" / "tiny" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("precious")
    outcome = shell(*line, "--output", tmp_path / "out", "--overwrite")
    assert letter.read_text() == "precious"
    assert outcome.code == 1
    assert str(letter.parent) in outcome.err


def test_resume_and_overwrite_contradict_each_other(line: list[object], tmp_path: Path, shell: Shell) -> None:
    shell(*line, "--output", tmp_path / "out")
    model = tmp_path / "out" / "tiny" / "run-1" / "model.pt"
    written = model.stat().st_mtime_ns
    outcome = shell(*line, "--output", tmp_path / "out", "--resume", "--overwrite")
    assert outcome.code != 0
    assert model.stat().st_mtime_ns == written


@pytest.mark.parametrize("name", ["out[bold]", "out [/red]"])
def test_brackets_in_names_are_not_markup(name: str, line: list[object], tmp_path: Path, shell: Shell) -> None:
    outcome = shell(*line, "--output", tmp_path / name)
    assert outcome.code == 0
    assert f"Results: {tmp_path / name / 'tiny' / 'results.json'}" in outcome.out


def test_testing_asks_for_test_classes_only(
    line: list[object], tiny_dataset: Path, tmp_path: Path, shell: Shell
) -> None:
    """Another dataset may have training classes too small to train on."""
    shell(*line, "--output", tmp_path / "out")
    folder = write_tiny_dataset(tmp_path / "data", "Small")
    for clip in folder.features.glob("class-00/clip-*[3-9].npy"):
        clip.unlink()
    for clip in folder.features.glob("class-00/clip-1*.npy"):
        clip.unlink()
    run = tmp_path / "out" / "tiny" / "run-1"
    outcome = shell("evaluate", run, "--data-root", tmp_path / "data", "--dataset", "small")
    assert outcome.code == 0, outcome.err


def test_nothing_but_progress_is_on_stderr_where_all_went_well(
    line: list[object], tiny_dataset: Path, tmp_path: Path, shell: Shell
) -> None:
    trained = shell(*line, "--output", tmp_path / "out")
    assert all(re.search("run 1/1: |epoch 1: loss", text) for text in trained.err.splitlines())
    run = tmp_path / "out" / "tiny" / "run-1"
    assert shell("evaluate", run, "--data-root", tiny_dataset).err == ""
