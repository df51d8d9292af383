"""A support folder as people have it: what is a clip, what is left out, and what is said of it."""

import os
import unicodedata
from pathlib import Path

import pytest

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.support import list_support


@pytest.fixture
def support(tmp_path: Path) -> Path:
    root = tmp_path / "support"
    for name in ("low/a.wav", "low/deep/b.wav", "low/.hidden.wav", "low/notes.txt", "readme.md", ".Trash-1000/x/c.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_other_files_are_counted_and_are_no_problem(support: Path) -> None:
    clips, remarks, problems = list_support(support)
    assert clips == [("low", support / "low/a.wav"), ("low", support / "low/deep/b.wav")]
    assert remarks == ["2 other files are no recordings"]
    assert problems == []


def test_an_empty_class_is_mentioned(support: Path) -> None:
    (support / "high").mkdir()
    (support / "texts").mkdir()
    (support / "texts" / "a.txt").touch()
    _, remarks, problems = list_support(support)
    assert remarks[1:] == [f"{support / name}: no recordings in this class folder" for name in ("high", "texts")]
    assert problems == []


def test_a_recording_outside_the_classes_is_a_problem(support: Path) -> None:
    (support / "stray.wav").touch()
    assert list_support(support).problems == [f"{support / 'stray.wav'}: is not in a class folder"]


def test_linked_class_folders_are_followed(support: Path, tmp_path: Path) -> None:
    (tmp_path / "collection").mkdir()
    (tmp_path / "collection" / "c.wav").touch()
    (support / "high").symlink_to(tmp_path / "collection")
    (support / "high" / "loop").symlink_to(support)
    clips, remarks, problems = list_support(support)
    assert ("high", support / "high/c.wav") in clips
    assert f"{support / 'high/loop'}: link loop: a link to a folder that was already visited" in remarks
    assert problems == []


def test_two_forms_of_a_name_are_one_class(support: Path) -> None:
    for form in ("NFC", "NFD"):
        folder = support / unicodedata.normalize(form, "mésange")  # type: ignore[arg-type]
        folder.mkdir()
        (folder / f"{form}.wav").touch()
    clips, remarks, problems = list_support(support)
    assert [name for name, _ in clips].count("m\u00e9sange") == 2
    assert (remarks, problems) == (["2 other files are no recordings"], [])


def test_bytes_that_are_no_text_are_escaped_in_the_name_of_a_class(support: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(support) + b"/m\xe9sange"))
    folder.mkdir()
    (folder / "a.wav").touch()
    clips, _, problems = list_support(support)
    assert ("m\\xe9sange", folder / "a.wav") in clips
    assert problems == []


def test_a_folder_that_cannot_be_a_class_is_told_once(support: Path) -> None:
    (support / "Unknown").mkdir()
    for name in ("a.wav", "b.wav"):
        (support / "Unknown" / name).touch()
    clips, remarks, problems = list_support(support)
    assert {name for name, _ in clips} == {"low"}
    (problem,) = problems
    assert problem.startswith(f"{support / 'Unknown'}: class name 'Unknown': this is the answer for sounds")
    assert remarks == ["2 other files are no recordings"]


def test_lines_about_strange_names_are_lines(support: Path) -> None:
    (support / "two\nlines\u202e").mkdir()
    assert list_support(support).remarks[1:] == [f"{support}/two\\nlines\\u202e: no recordings in this class folder"]


def test_a_folder_without_clips_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.txt").touch()
    expected = (
        f"{tmp_path / 'a.wav'}: is not in a class folder\n1 other file is no recording\n{tmp_path}: no sound files"
        " in folders of classes (put the clips of each sound into a folder of its own)"
    )
    with pytest.raises(DataError) as error:
        list_support(tmp_path)
    assert str(error.value) == expected
    with pytest.raises(DataError, match="no such folder"):
        list_support(tmp_path / "absent")
