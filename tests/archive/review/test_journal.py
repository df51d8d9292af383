"""The journal of choices: nothing that was answered is lost, and nothing of others is trusted."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.archive.review.choices import Answer, Choice, choice_of, current_choices, gain
from fewshot_audio.archive.review.journal import ChoiceJournal, journal_beside
from fewshot_audio.archive.review.table import choices_table, read_choices, without_known
from fewshot_audio.errors import DataError, WriteError

TIME = "2026-01-31T10:00:00+00:00"
CHOICE = Choice("A/dawn.wav", 1.25, 2.5, "owl", "yes", "", "Ana", TIME)


def said(answer: Answer, start: float = 0.0, reviewer: str = "me", **more: str) -> Choice:
    return replace(CHOICE, start=start, end=start + 1, answer=answer, reviewer=reviewer, **more)  # type: ignore[arg-type]


def test_a_journal_is_what_was_added(tmp_path: Path) -> None:
    path = journal_beside(tmp_path / "bundle")
    assert path == tmp_path / "bundle.review.jsonl"
    choices = [CHOICE, said("other", other="Käuzchen"), said("undo")]
    with ChoiceJournal(path) as journal:
        journal.add(choices[:1])
        journal.add(choices[1:])
    with ChoiceJournal(path) as journal:
        assert journal.choices == choices


@given(cut=st.integers(0, 700))
@settings(max_examples=40, deadline=None)
def test_a_killed_process_leaves_whole_choices(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    choices = [said("yes", start) for start in (0, 1, 2)]
    with ChoiceJournal(path) as journal:
        journal.add(choices)
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    with ChoiceJournal(path) as journal:
        assert journal.choices == choices[:whole]
        journal.add([CHOICE])
    with ChoiceJournal(path) as journal:
        assert journal.choices == [*choices[:whole], CHOICE]


def test_a_full_disk_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    with ChoiceJournal(path) as journal:
        journal.add([CHOICE])

        def fail(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(WriteError, match="journal: cannot be written: No space left"):
                journal.add([said("no")])
        assert journal.choices == [CHOICE]
        journal.add([said("unsure")])
    with ChoiceJournal(path) as journal:
        assert journal.choices == [CHOICE, said("unsure")]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        ChoiceJournal(tmp_path / "journal"),
        pytest.raises(DataError, match="journal: another process has this review open"),
    ):
        ChoiceJournal(tmp_path / "journal")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("file", "../secret.wav", "expected a path below"),
        ("file", "/etc/passwd", "expected a path below"),
        ("file", "", "file is ''"),
        ("file", "\udc80.wav", "file is"),
        ("start", -1, "start is -1, expected seconds"),
        ("start", True, "start is True"),
        ("start", float("nan"), "start is nan"),
        ("end", 1.25, "end is 1.25, expected more than start"),
        ("asked", "", "expected text that is not blank"),
        ("asked", "x" * 1000, "asked is"),
        ("answer", "maybe", "answer is 'maybe', expected one of yes, no"),
        ("answer", ["yes"], "answer is"),
        ("other", "hen", "other is 'hen', expected nothing, since the answer is yes"),
        ("reviewer", "a\x1b[31m", r"reviewer is 'a\\x1b\[31m', expected a printable name"),
        ("time", "yesterday", "time is 'yesterday'"),
        ("more", 1, "a choice with answer, asked, end, file, more"),
    ],
)
def test_lines_of_others_are_checked(tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = tmp_path / "journal"
    values = {**CHOICE.values(), key: value}
    path.write_text(json.dumps(CHOICE.values()) + "\n" + json.dumps(values) + "\n")
    with pytest.raises(DataError, match="journal, line 2: .*" + message):
        ChoiceJournal(path)
    with pytest.raises(DataError, match=message):
        choice_of(values)


@pytest.mark.parametrize("line", [b"[]", b"{", b"[" * 100_000, b"\xff", b"null"])
def test_what_is_no_choice_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "journal").write_bytes(line + b"\n")
    with pytest.raises(DataError, match="journal, line 1: "):
        ChoiceJournal(tmp_path / "journal")
    ChoiceJournal(tmp_path / "other").close()


def test_the_last_choice_counts_and_can_be_taken_back() -> None:
    made = [
        said("yes", 0),
        said("no", 1),
        said("no", 0, "Ana"),
        said("yes", 2),
        said("undo", 0, "Ana"),  # the first one counts again
        said("undo", 1),
        said("undo", 1),  # there is nothing to take back any more
        said("undo", 2, "Ana"),  # not hers
        replace(said("yes", 3), asked="hen"),
    ]
    assert [(choice.start, choice.answer) for choice in current_choices(made, "owl").values()] == [
        (0, "yes"),
        (2, "yes"),
    ]
    assert gain([said("no"), said("yes"), said("unsure"), said("yes")]) == [0, 1, 1, 2]


def test_tables_there_and_back(tmp_path: Path) -> None:
    choices = [CHOICE, said("other", other='a, "b"\nc'), said("no", reviewer="B"), said("undo")]
    table = tmp_path / "choices.csv"
    table.write_text(choices_table(choices), newline="")
    assert read_choices(table, "x", "y", TIME) == choices
    assert without_known(read_choices(table, "x", "y", TIME), choices[:2]) == choices[2:]


def test_a_table_of_density_is_read(tmp_path: Path) -> None:
    table = tmp_path / "sample.csv"
    table.write_text("file,start,end,score,present\na.wav,0,5,0.5,Yes\nb.wav,5,10,0.1,\nb.wav,10,15,0.1,no\n")
    assert read_choices(table, "owl", "me", TIME) == [
        Choice("a.wav", 0, 5, "owl", "yes", "", "me", TIME),
        Choice("b.wav", 10, 15, "owl", "no", "", "me", TIME),
    ]
    table.write_text("file,start,end,answer\na.wav,0,5,yes\na.wav,x,5,yes\n")
    with pytest.raises(DataError, match=r"sample.csv, line 3: start or end is no number"):
        read_choices(table, "owl", "me", TIME)
    table.write_text("file,start,end,answer\na.wav,0,5,perhaps\n")
    with pytest.raises(DataError, match=r"sample.csv, line 2: answer is 'perhaps'"):
        read_choices(table, "owl", "me", TIME)
    table.write_text("file,start,end\na.wav,0,5\n")
    with pytest.raises(DataError, match="no row with an answer"):
        read_choices(table, "owl", "me", TIME)
