"""Annotations: rows of tables with the recordings that they name."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.read import AnnotationTable, read_annotations

RATE = 8000


def record(path: Path, seconds: float = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * RATE), np.float32), RATE)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with recordings a.wav and deep/b.wav of 10 s."""
    record(tmp_path / "field" / "a.wav")
    record(tmp_path / "field" / "deep" / "b.wav")
    return (tmp_path / "field").resolve()


def read(folder: Path, *lines: str, audio: Path | None = None) -> AnnotationTable:
    table = folder / "table.csv"
    table.write_text("\n".join(("file,start,end,label", *lines)) + "\n")
    return read_annotations(table, audio)


def test_annotations_have_their_recordings(folder: Path) -> None:
    table = read(folder, "a.wav,1,2,wren", "deep/b.wav,3,4,tit", f"{folder}/a.wav,5,6,tit", "deep\\b.wav,5,6,tit")
    a, b = folder / "a.wav", folder / "deep" / "b.wav"
    assert table.annotations == (
        Annotation(a, 1, 2, "wren"),
        Annotation(b, 3, 4, "tit"),
        Annotation(a, 5, 6, "tit"),
        Annotation(b, 5, 6, "tit"),
    )
    assert (table.problems, table.remarks) == ((), ())


@pytest.mark.parametrize("name", ["C:\\Users\\me\\b.wav", "/elsewhere/b.wav", "../x/b.wav", "B.WAV", "b"])
def test_of_a_path_that_leads_elsewhere_only_the_name_counts(folder: Path, name: str) -> None:
    table = read(folder, f"{name},1,2,wren", f"{name},3,4,wren")
    assert {annotation.file for annotation in table.annotations} == {folder / "deep" / "b.wav"}
    (remark,) = table.remarks
    assert "is taken to be" in remark


def test_no_file_outside_of_the_folder_is_taken(folder: Path) -> None:
    outside = record(folder.parent / "outside.wav")
    table = read(folder, f"{outside},1,2,x", "../outside.wav,1,2,x", "deep/../../outside.wav,1,2,x", "a.wav,1,2,x")
    assert [annotation.file.name for annotation in table.annotations] == ["a.wav"]
    assert len(table.problems) == 3
    assert "line 2: there is no recording" in table.problems[0]
    assert len(read(folder, f"{outside},1,2,x", audio=folder.parent).annotations) == 1


def test_two_files_of_one_name_are_told_from_each_other_or_refused(folder: Path) -> None:
    record(folder / "other" / "b.wav")
    table = read(folder, "other/b.wav,1,2,x", "/field/b.wav,1,2,x")
    assert [annotation.file for annotation in table.annotations] == [folder / "other" / "b.wav"]
    assert "2 files in" in table.problems[0]


def test_events_outside_of_their_recording(folder: Path) -> None:
    table = read(folder, "a.wav,9,10.05,x", "a.wav,8,12,x", "a.wav,10,11,x")
    assert [(annotation.start, annotation.end) for annotation in table.annotations] == [(9, 10), (8, 10)]
    assert table.problems == (f"{folder}/table.csv, line 4: starts at 10 s, outside of its recording of 10 s",)
    assert table.remarks == (f"{folder}/table.csv, line 3: ends at 12 s, behind its recording of 10 s: shortened",)


def test_an_event_that_is_there_twice_counts_once(folder: Path) -> None:
    table = read(folder, "a.wav,1,2,x", "/other/a.wav,1,2,x", "a.wav,1,2,y")
    assert [annotation.label for annotation in table.annotations] == ["x", "y"]
    assert "line 3: the same event as in line 2" in table.remarks[0]


def test_events_of_different_labels_that_overlap_are_remarked(folder: Path) -> None:
    lines = ["a.wav,1,5,x", "a.wav,1.5,2,x", "a.wav,4,6,y", "a.wav,6,7,x", "deep/b.wav,1,5,z", "a.wav,4.5,4.6,x"]
    table = read(folder, *lines)
    assert len(table.annotations) == 6
    assert table.problems == ()
    assert [remark.rpartition("table.csv, ")[2] for remark in table.remarks] == [
        "line 4: 'y' overlaps 'x' of line 2",
        "line 7: 'x' overlaps 'y' of line 4",
    ]


def test_a_broken_recording_is_a_problem_of_its_events(folder: Path) -> None:
    (folder / "c.wav").write_bytes(b"")
    table = read(folder, "c.wav,1,2,x", "a.wav,1,2,x")
    assert [annotation.file.name for annotation in table.annotations] == ["a.wav"]
    assert "line 2: empty: the file has 0 bytes" in table.problems[0]


@pytest.mark.parametrize("name", ["a.txt", "a.wav.txt", "a.Table.1.selections.txt", "A_labels.txt"])
def test_a_table_without_names_is_of_the_recording_called_as_it_is(folder: Path, name: str) -> None:
    record(folder / "ab.wav")
    (folder / name).write_text("1\t2\towl\n")
    assert read_annotations(folder / name).annotations == (Annotation(folder / "a.wav", 1, 2, "owl"),)


def test_a_table_without_names_and_without_a_recording_of_its_name(folder: Path) -> None:
    (folder / "marks.txt").write_text("1\t2\towl\n")
    assert "no recording in" in read_annotations(folder / "marks.txt").problems[0]
    table = read_annotations(folder / "marks.txt", folder / "deep" / "b.wav")
    assert table.annotations == (Annotation(folder / "deep" / "b.wav", 1, 2, "owl"),)


def test_events_of_other_recordings_than_the_one_given(folder: Path) -> None:
    table = read(folder, "a.wav,1,2,x", "b.wav,1,2,x", audio=folder / "a.wav")
    assert [annotation.file.name for annotation in table.annotations] == ["a.wav"]
    assert "which is not a.wav" in table.problems[0]


def test_a_missing_folder_of_recordings(folder: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read(folder, "a.wav,1,2,x", audio=folder / "missing")


def test_impossible_frequencies_are_left_out_of_an_event(folder: Path) -> None:
    (folder / "t.csv").write_text("file,start,end,label,low_hz,high_hz\na.wav,1,2,x,500,100\na.wav,3,4,x,100,500\n")
    table = read_annotations(folder / "t.csv")
    assert [(event.low_hz, event.high_hz) for event in table.annotations] == [(None, None), (100, 500)]
    assert "500 to 100 Hz" in table.remarks[0]


def test_a_table_without_events(folder: Path) -> None:
    table = read(folder)
    assert (table.annotations, table.problems) == ((), ())
    assert table.remarks == (f"{folder}/table.csv: no event",)


@pytest.mark.skipif(os.name != "posix", reason="names of files are Unicode on Windows")
def test_names_of_any_bytes_are_shown_on_one_line(folder: Path) -> None:
    table = read(folder, "x\x1b[2Jy.wav,1,2,x")
    assert "\x1b" not in "".join(table.problems)
