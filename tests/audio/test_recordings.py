"""Listing recordings: of folders and files, each once."""

import os
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.audio.recordings import class_of, list_recordings, walk
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "field"
    for name in ("b.wav", "sub/deep/A.WAV", "sub/c.mp3", ".hidden.wav", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_is_searched_and_other_files_are_counted(folder: Path) -> None:
    assert list_recordings([folder]) == ([folder / "b.wav", folder / "sub/c.mp3", folder / "sub/deep/A.WAV"], 1)


def test_named_files_come_first_to_last_and_each_once(folder: Path) -> None:
    missing, text = folder / "missing.wav", folder / "notes.txt"
    recordings, others = list_recordings([folder / "sub/c.mp3", missing, folder, text, folder / "b.wav"])
    assert recordings == [folder / "sub/c.mp3", missing, folder / "b.wav", folder / "sub/deep/A.WAV", text]
    assert others == 1


def test_a_folder_that_cannot_be_read_is_left_to_whoever_reads_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list_recordings([folder]) == ([folder / "b.wav", folder / "sub"], 1)
    assert list_recordings([folder / "sub"]) == ([folder / "sub"], 0)


def test_a_folder_without_recordings_is_refused(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "empty" / "readme.md").touch()
    with pytest.raises(DataError, match=r"empty: no sound files in it \(1 other file\)"):
        list_recordings([folder, folder / "empty"])


def test_what_systems_put_into_folders_is_left_out(folder: Path) -> None:
    for name in ("__MACOSX", "@eaDir", ".Trash-1000", ".ipynb_checkpoints", "sub/$RECYCLE.BIN"):
        (folder / name).mkdir()
        (folder / name / "copy.wav").touch()
    assert list_recordings([folder]) == ([folder / "b.wav", folder / "sub/c.mp3", folder / "sub/deep/A.WAV"], 1)


def test_links_are_followed_and_each_folder_is_visited_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "more").mkdir(parents=True)
    (tmp_path / "disk" / "more" / "d.wav").touch()
    (folder / "linked").symlink_to(tmp_path / "disk")
    (folder / "linked again").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "more" / "loop").symlink_to(folder)
    (folder / "e.wav").symlink_to(tmp_path / "disk" / "more" / "d.wav")
    (folder / "broken.wav").symlink_to("nowhere.wav")
    names = {entry.name: entry.problem and entry.problem.reason for entry in walk(folder)}
    assert names == {
        "b.wav": None,
        "broken.wav": Reason.MISSING,
        "e.wav": None,
        "linked/more/d.wav": None,
        "linked/more/loop": Reason.LINK_LOOP,
        "linked again": Reason.LINK_LOOP,
        "notes.txt": Reason.NOT_AUDIO,
        "sub/c.mp3": None,
        "sub/deep/A.WAV": None,
    }


def test_a_class_folder_of_another_system_is_the_same_class() -> None:
    assert class_of("Grünspecht") == class_of("Gru\u0308nspecht") == "Grünspecht"
