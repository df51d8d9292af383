"""Datasets of clips cut at annotated events."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.errors import DataError
from fewshot_audio.events.source import AnnotatedEvents
from tests.recognition.sounds import write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
RATE = 16_000
CLASSES = [f"class {number}" for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of 12 s, a table for each with an event of each class every two seconds."""
    folder = tmp_path / "field"
    folder.mkdir()
    for number, name in enumerate("ab"):
        write_wav(folder / f"{name}.wav", np.random.default_rng(number).normal(0, 0.1, 12 * RATE), RATE)
        lines = [f"{name}.wav,{2 * n},{2 * n + 1},{label}" for n, label in enumerate(CLASSES)]
        (folder / f"{name}.csv").write_text("\n".join(["file,start,end,label", *lines]) + "\n")
    return folder


def test_each_event_is_a_clip_of_its_recording(folder: Path) -> None:
    recordings = [item for item in AnnotatedEvents(folder).recordings() if isinstance(item, Recording)]
    assert len(recordings) == 12
    first = recordings[1]
    assert (first.class_name, first.group, first.clip) == ("class 1", "a.wav", "a 2.000-3.000 s")
    samples = decode(folder / "a.wav", RATE).samples
    assert np.array_equal(first.sound.read(RATE).samples, samples[2 * RATE : 3 * RATE])


def test_every_row_is_accounted_for(folder: Path) -> None:
    (folder / "b.csv").write_text(
        "file,start,end,label,q\na.wav,0,1,class 0,POS\nb.wav,1,2,x,UNK\nc.wav,1,2,x,POS\nb.wav,3,4,x,POS\n"
    )
    (folder / "notes.txt").write_text("no table\n")
    items = list(AnnotatedEvents(folder).recordings())
    skipped = [item for item in items if isinstance(item, SkippedInput)]
    assert len(items) == 6 + 4 + 1
    assert [(item.source, item.class_name, item.reason) for item in skipped] == [
        ("b.csv", "", Reason.NOT_LISTED),
        ("a.wav 0.000-1.000 s", "class 0", Reason.DUPLICATE),
        ("b.wav 1.000-2.000 s", "x", Reason.NO_CLASS),
        ("notes.txt", "", Reason.UNREADABLE),
    ]
    assert "line 4: there is no recording 'c.wav'" in skipped[0].detail


def test_tables_of_another_folder_are_named(folder: Path, tmp_path: Path) -> None:
    table = (folder / "a.csv").rename(tmp_path / "a.csv")
    assert len(list(AnnotatedEvents(folder, [table]).recordings())) == 6
    table.write_text("no table\n")
    with pytest.raises(DataError, match="no table of events"):
        list(AnnotatedEvents(folder, [table]).recordings())


def test_the_command_makes_a_dataset_with_groups(folder: Path, tmp_path: Path, shell: Shell) -> None:
    command = ("prepare", "annotated", "--source", folder, "--data-root", tmp_path / "data", "--workers", 1)
    outcome = shell(*command, "--way", 2, "--segment-seconds", 0.5)
    assert outcome.code == 0, outcome.err
    assert "12 inputs: 12 prepared" in outcome.out
    with (tmp_path / "data" / "annotated" / "clips.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["class"], row["group"]) for row in rows} == {(c, g) for c in CLASSES for g in ("a.wav", "b.wav")}
    assert {row["segments"] for row in rows} == {"2"}


def test_tables_belong_to_annotated_recordings(folder: Path, shell: Shell) -> None:
    outcome = shell("prepare", "folder", "--source", folder, "--tables", folder / "a.csv")
    assert outcome.code == 2
    assert "--tables belongs to the source annotated" in outcome.err
    outcome = shell("prepare", "annotated", "--source", folder, "--data-root", folder)
    assert "is in the folder of the recordings" in outcome.err
