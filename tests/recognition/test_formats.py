"""Answers as text: exact data for programs, aligned for people, harmless in spreadsheets."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from fewshot_audio.recognition import formats
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.output_formats import OUTPUT_FORMATS, FormatOptions, OutputFormat, register_output_format
from fewshot_audio.recognition.results import FileResult
from tests.shell import Shell, shell

__all__ = ["shell"]

DAMAGE = "damaged: 9.5 of 20 s heard"


def result(file: str = "a.wav", label: str = "owl", **values: Any) -> FileResult:
    """A recording in which one sound was recognized."""
    event = Event(0.0, 2.0, label, 0.75, 0.5, 1, {label: 0.75, "other": 0.25})
    return FileResult(file, seconds=2.0, windows=1, events=(event,), **values)


def text(name: str, results: Sequence[FileResult], **options: Any) -> str:
    """The recordings in a format."""
    form: OutputFormat = OUTPUT_FORMATS.find(name).load()()
    return form.text(results, FormatOptions(**options))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_damage_is_a_remark_of_an_answered_recording_in_every_format() -> None:
    damaged = [result(damage=DAMAGE)]
    (row,) = rows(text("csv", damaged))
    assert (row["label"], row["status"], row["remark"]) == ("owl", "ok", DAMAGE)
    (entry,) = json.loads(text("json", damaged))["files"]
    assert (entry["status"], entry["remark"]) == ("ok", DAMAGE)
    line = json.loads(text("jsonl", damaged))
    assert (line["status"], line["remark"]) == ("ok", DAMAGE)
    (row,) = rows(formats.as_list(damaged, formats.label_files(damaged, ".selections.txt")))
    assert (row["labels"], row["events"], row["status"]) == ("a.wav.selections.txt", "1", "ok")
    assert row["remark"] == DAMAGE
    head, answer = text("table", damaged).splitlines()
    assert head.endswith("  remark")
    assert answer.endswith(f"other 0.25  {DAMAGE}")


def test_a_table_without_remarks_has_no_column_of_them() -> None:
    assert "remark" not in text("table", [result()])


def test_silence_says_why() -> None:
    quiet = FileResult("a.wav", 5.0, windows=1, silent=1, silence="-92 dBFS, below -90 dBFS", damage=DAMAGE)
    assert quiet.status == "nothing"
    assert quiet.remark == f"nothing to hear (silent: -92 dBFS, below -90 dBFS); {DAMAGE}"


@pytest.mark.parametrize("file", ["鳥の声.wav", "cafe\u0301.wav", "\U0001f426.wav"])
def test_columns_are_aligned_by_what_a_terminal_shows(file: str) -> None:
    lines = text("table", [result(), result(file, label="鳥"), result("a long name.wav")]).splitlines()
    starts = [cell_len(line[: line.index(start)]) for line, start in zip(lines, ("start", *["0.00"] * 3), strict=True)]
    assert starts == [len("a long name.wav") + 2] * 4
    scores = [cell_len(line[: line.index(score)]) for line, score in zip(lines, ("score", *["0.75"] * 3), strict=True)]
    assert len(set(scores)) == 1


def test_names_stay_on_their_line_in_tables_and_label_files() -> None:
    strange = result("a\tb\n.wav", label="red\tfox\n\u202e")
    line = text("table", [strange], top=1).splitlines()[1]
    assert line.startswith("a\\tb\\n.wav  0.00")
    assert "red\\tfox\\n\\u202e 0.75" in line
    assert text("raven", [strange]).splitlines()[1].split("\t")[7] == "red\\tfox\\n\\u202e"
    assert text("audacity", [strange]) == "0.000000\t2.000000\tred\\tfox\\n\\u202e 0.75\n"


@pytest.mark.parametrize("name", ["=1+1", "+49", "-call", "@me", "\tx", "\rx"])
def test_what_a_spreadsheet_would_compute_is_marked_for_it_only(name: str) -> None:
    strange = [result(f"{name}.wav", name)]

    def cells(text: str) -> tuple[str, str]:
        row = list(csv.reader(io.StringIO(text, newline="")))[1]
        return row[0], row[3]

    assert cells(text("csv", strange, top=1)) == (f"{name}.wav", name)
    assert cells(text("csv", strange, top=1, excel=True)) == (f"'{name}.wav", f"'{name}")
    failed = [FileResult("a.wav", error=name)]
    remark = list(csv.reader(io.StringIO(text("csv", failed, top=1, excel=True), newline="")))[1][9]
    assert remark == f"'{name}"


def test_line_breaks_in_names_leave_the_rows_of_csv_whole() -> None:
    strange = [result("a\nb\rc.wav", "x\r\ny"), result()]
    table = list(csv.DictReader(io.StringIO(text("csv", strange, top=1), newline="")))
    assert [(row["file"], row["label"]) for row in table] == [("a\nb\rc.wav", "x\r\ny"), ("a.wav", "owl")]


def test_a_spreadsheet_is_told_the_encoding() -> None:
    assert text("csv", [result(label="鳥")], top=1, excel=True).encode().startswith(b"\xef\xbb\xbffile,")
    assert text("csv", [result(label="鳥")], top=1).startswith("file,")
    assert formats.as_list([result()], ["x"], excel=True).startswith("\ufefffile,")


def test_frequencies_end_where_those_of_the_file_do() -> None:
    """Raven refuses a selection above half of the file's own rate."""

    def highest(rate: int) -> str:
        return text("raven", [result(rate=rate)]).splitlines()[1].split("\t")[6]

    assert [highest(rate) for rate in (8000, 16_000, 44_100)] == ["4000", "8000", "8000"]


@register_output_format()
class Starts:
    """The times alone, a file for each recording."""

    extension = ".starts.tsv"

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        (one,) = results
        return "".join(f"{event.start:.1f}\t{options.sample_rate}\t{options.top}\n" for event in one.events)


def test_an_extension_may_have_one_dot(
    bundle: Path, recordings: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Starts, "extension", ".tsv")
    line = ["classify", bundle, recordings / "class 0", "--format", "Starts", "-o", tmp_path / "times"]
    assert shell(*line).code == 0
    assert (tmp_path / "times" / "3.wav.tsv").read_text() == "0.0\t16000\t3\n"


def test_what_is_no_text_is_refused(
    bundle: Path, recordings: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Starts, "text", lambda *_: b"times")
    outcome = shell("classify", bundle, recordings / "class 0" / "0.wav", "--format", "Starts")
    assert outcome.code == 1
    assert "output format Starts returned bytes, expected text (str)" in " ".join(outcome.err.split())


def test_a_format_from_outside_may_write_a_file_for_each_recording(
    bundle: Path, recordings: Path, tmp_path: Path, shell: Shell
) -> None:
    line = ["classify", bundle, recordings / "class 0", "--format", "Starts", "--top", 2]
    assert "--format Starts describes one recording" in " ".join(shell(*line).err.split())
    assert shell(*line, "-o", tmp_path / "times").code == 0
    files = sorted(path.name for path in (tmp_path / "times").iterdir())
    assert files == [*(f"{number}.wav.starts.tsv" for number in range(4)), "files.csv"]
    assert (tmp_path / "times" / "0.wav.starts.tsv").read_text() == "0.0\t16000\t2\n"
    line[2] = recordings / "class 0" / "0.wav"
    assert shell(*line, "-o", tmp_path / "one.tsv").code == 0
    assert (tmp_path / "one.tsv").read_text() == shell(*line).out == "0.0\t16000\t2\n"


def test_every_built_in_format_is_named_by_the_help(shell: Shell) -> None:
    words = shell("classify", "--help").out
    assert all(f" {name}" in words for name in OUTPUT_FORMATS.built_in)
    outcome = shell("classify", "bundle", "a.wav", "--format", "ravne")
    assert outcome.code == 2
    assert "there is no output format 'ravne', did you mean 'raven'?" in " ".join(outcome.err.split())
    assert "--excel concerns csv" in " ".join(
        shell("classify", "bundle", "a.wav", "--format", "json", "--excel").err.split()
    )
