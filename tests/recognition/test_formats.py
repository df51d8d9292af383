"""Answers as text: exact data for programs, aligned for people, harmless in spreadsheets."""

import csv
import io
import json
from typing import Any

import pytest
from rich.cells import cell_len

from fewshot_audio.recognition import formats
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.options import Format
from fewshot_audio.recognition.results import FileResult

DAMAGE = "damaged: 9.5 of 20 s heard"


def result(file: str = "a.wav", label: str = "owl", **values: Any) -> FileResult:
    """A recording in which one sound was recognized."""
    event = Event(0.0, 2.0, label, 0.75, 0.5, 1, {label: 0.75, "other": 0.25})
    return FileResult(file, seconds=2.0, windows=1, events=(event,), **values)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_damage_is_a_remark_of_an_answered_recording_in_every_format() -> None:
    damaged = [result(damage=DAMAGE)]
    (row,) = rows(formats.as_csv(damaged, 3))
    assert (row["label"], row["status"], row["remark"]) == ("owl", "ok", DAMAGE)
    (entry,) = json.loads(formats.as_json(damaged, 3))["files"]
    assert (entry["status"], entry["remark"]) == ("ok", DAMAGE)
    line = json.loads(formats.as_jsonl(damaged, 3))
    assert (line["status"], line["remark"]) == ("ok", DAMAGE)
    (row,) = rows(formats.as_list(damaged, formats.label_files(damaged, Format.raven)))
    assert (row["labels"], row["events"], row["status"]) == ("a.wav.selections.txt", "1", "ok")
    assert row["remark"] == DAMAGE
    head, answer = formats.as_table(damaged, 3).splitlines()
    assert head.endswith("  remark")
    assert answer.endswith(f"other 0.25  {DAMAGE}")


def test_a_table_without_remarks_has_no_column_of_them() -> None:
    assert "remark" not in formats.as_table([result()], 3)


def test_silence_says_why() -> None:
    quiet = FileResult("a.wav", 5.0, windows=1, silent=1, silence="-92 dBFS, below -90 dBFS", damage=DAMAGE)
    assert quiet.status == "nothing"
    assert quiet.remark == f"nothing to hear (silent: -92 dBFS, below -90 dBFS); {DAMAGE}"


@pytest.mark.parametrize("file", ["鳥の声.wav", "cafe\u0301.wav", "\U0001f426.wav"])
def test_columns_are_aligned_by_what_a_terminal_shows(file: str) -> None:
    lines = formats.as_table([result(), result(file, label="鳥"), result("a long name.wav")], 3).splitlines()
    starts = [cell_len(line[: line.index(start)]) for line, start in zip(lines, ("start", *["0.00"] * 3), strict=True)]
    assert starts == [len("a long name.wav") + 2] * 4
    scores = [cell_len(line[: line.index(score)]) for line, score in zip(lines, ("score", *["0.75"] * 3), strict=True)]
    assert len(set(scores)) == 1


def test_names_stay_on_their_line_in_tables_and_label_files() -> None:
    strange = result("a\tb\n.wav", label="red\tfox\n\u202e")
    line = formats.as_table([strange], 1).splitlines()[1]
    assert line.startswith("a\\tb\\n.wav  0.00")
    assert "red\\tfox\\n\\u202e 0.75" in line
    assert formats.as_raven(strange, 16_000).splitlines()[1].split("\t")[7] == "red\\tfox\\n\\u202e"
    assert formats.as_audacity(strange) == "0.000000\t2.000000\tred\\tfox\\n\\u202e 0.75\n"


@pytest.mark.parametrize("name", ["=1+1", "+49", "-call", "@me", "\tx", "\rx"])
def test_what_a_spreadsheet_would_compute_is_marked_for_it_only(name: str) -> None:
    strange = [result(f"{name}.wav", name)]

    def cells(text: str) -> tuple[str, str]:
        row = list(csv.reader(io.StringIO(text, newline="")))[1]
        return row[0], row[3]

    assert cells(formats.as_csv(strange, 1)) == (f"{name}.wav", name)
    assert cells(formats.as_csv(strange, 1, excel=True)) == (f"'{name}.wav", f"'{name}")
    failed = [FileResult("a.wav", error=name)]
    remark = list(csv.reader(io.StringIO(formats.as_csv(failed, 1, excel=True), newline="")))[1][9]
    assert remark == f"'{name}"


def test_line_breaks_in_names_leave_the_rows_of_csv_whole() -> None:
    strange = [result("a\nb\rc.wav", "x\r\ny"), result()]
    table = list(csv.DictReader(io.StringIO(formats.as_csv(strange, 1), newline="")))
    assert [(row["file"], row["label"]) for row in table] == [("a\nb\rc.wav", "x\r\ny"), ("a.wav", "owl")]


def test_a_spreadsheet_is_told_the_encoding() -> None:
    assert formats.as_csv([result(label="鳥")], 1, excel=True).encode().startswith(b"\xef\xbb\xbffile,")
    assert formats.as_csv([result(label="鳥")], 1).startswith("file,")
    assert formats.as_list([result()], ["x"], excel=True).startswith("\ufefffile,")


def test_frequencies_end_where_those_of_the_file_do() -> None:
    """Raven refuses a selection above half of the file's own rate."""

    def highest(rate: int) -> str:
        return formats.as_raven(result(rate=rate), 16_000).splitlines()[1].split("\t")[6]

    assert [highest(rate) for rate in (8000, 16_000, 44_100)] == ["4000", "8000", "8000"]
