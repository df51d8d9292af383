"""Tables: read as their rows say, in work and memory that do not depend on more than what is asked for."""

import os
import tracemalloc
from pathlib import Path

import pytest

from fewshot_audio.data import csv_files
from fewshot_audio.data.csv_files import csv_table, read_numbered_rows, read_rows
from fewshot_audio.errors import DataError

ROWS = [{"class": "dog", "clip": "a, b", "group": "x"}, {"class": 'a "cat"', "clip": "é\n鳥", "group": ""}]


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", "a\nb", "\r", "a\r\n"])
def test_line_breaks_of_any_kind_in_a_name(tmp_path: Path, name: str) -> None:
    rows = [{"class": name, "clip": "1"}, {"class": "owl", "clip": name}]
    text = csv_table(("class", "clip"), rows)
    assert text == f'class,clip\n"{name}",1\nowl,"{name}"\n'
    assert list(read_rows(write(tmp_path, text), ("class", "clip"))) == rows


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_what_is_written_is_read(tmp_path: Path, start: str) -> None:
    path = write(tmp_path, start + csv_table(("class", "clip", "group"), ROWS))
    assert list(read_rows(path, ("class", "clip", "group"))) == ROWS
    assert list(read_rows(path, ("clip",), ("class", "more"))) == [
        {"clip": row["clip"], "class": row["class"], "more": ""} for row in ROWS
    ]


def test_tabs_blank_lines_short_and_long_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "class\tclip\r\n\r\ndog\ta,b\r\ncat\r\nowl\tc\td\r\n")
    assert list(read_rows(path, ("class", "clip"))) == [
        {"class": "dog", "clip": "a,b"},
        {"class": "cat", "clip": ""},
        {"class": "owl", "clip": "c"},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", ",,,\n", ",,,\r\n", "\r\n\r\n , \t,\r\n", ",,,"])
def test_rows_without_text_are_no_rows(tmp_path: Path, end: str) -> None:
    path = write(tmp_path, "class,clip\r\n,,\r\ndog,a\r\n" + end)
    assert list(read_numbered_rows(path, ("class", "clip"))) == [(3, {"class": "dog", "clip": "a"})]


def test_semicolons_as_spreadsheets_write_them(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffclass;clip;seconds\r\ndog;a, b;1,5\r\n;;\r\n")
    assert list(read_rows(path, ("class", "clip"), ("seconds",))) == [
        {"class": "dog", "clip": "a, b", "seconds": "1,5"}
    ]
    path = write(tmp_path, "class,clip;group\ndog,a;b\n")  # a comma separates, if it gives the columns
    assert list(read_rows(path, ("class",), ("clip;group",))) == [{"class": "dog", "clip;group": "a;b"}]
    assert list(read_rows(write(tmp_path, "class\ndog;1\n"), ("class",))) == [{"class": "dog;1"}]
    with pytest.raises(DataError, match=r"found: 'a;b'\)"):
        list(read_rows(write(tmp_path, "a;b\n1;2\n"), ("class",)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_unicode_as_spreadsheets_write_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("class\tclip\r\né\t鳥\r\n".encode(encoding))
    assert list(read_rows(path, ("class", "clip"))) == [{"class": "é", "clip": "鳥"}]
    path.write_bytes("class\tclip\r\n".encode("utf-16") + b"\x00")
    with pytest.raises(DataError, match=r"table\.csv cannot be read.*expected UTF-8"):
        list(read_rows(path, ("class", "clip")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'class' is missing (found: none)"),
        ("\n\nclass\n", "'class' is missing (found: none)"),
        ("a,b\n1,2\n", "'class' is missing (found: 'a', 'b')"),
        ("class" * 20_000 + "," * 100, "and 81 more"),
        ("\x1b[31m,b\n", r"'\x1b[31m'"),
        ('class\n"never closed\n' + "a\n" * 100_000, "field larger than field limit"),
    ],
    ids=["empty", "blank", "other", "long", "escape", "open quote"],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_rows(write(tmp_path, text), ("class",)))
    assert words in str(caught.value)
    assert str(tmp_path / "table.csv") in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_bytes_that_are_no_text_and_a_table_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(DataError, match=r"table\.csv cannot be read"):
        list(read_rows(path, ("class",)))
    path.write_bytes(b"class\n\xff\n")
    with pytest.raises(DataError, match=r"table\.csv cannot be read"):
        list(read_rows(path, ("class",)))


def test_a_long_header_costs_nothing_in_short_rows(tmp_path: Path) -> None:
    header = "class," + ",".join(f"column{number}" for number in range(5000))
    path = write(tmp_path, header + "\na" * 5000 + "\n")
    tracemalloc.start()
    rows = list(read_rows(path, ("class",)))  # with all columns it would be 25 million cells
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == [{"class": "a"}] * 5000
    assert peak < 20 << 20


def test_tables_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "class\n" + "a\n" * 11)
    monkeypatch.setattr(csv_files, "MAX_ROWS", 11)
    assert len(list(read_rows(path, ("class",)))) == 11
    monkeypatch.setattr(csv_files, "MAX_ROWS", 10)
    with pytest.raises(DataError, match=r"table\.csv: more than 10 rows"):
        list(read_rows(path, ("class",)))
    os.truncate(path, 10 << 30)  # of which nothing is on the disk
    with pytest.raises(DataError, match=r"table\.csv.*refused unread"):
        list(read_rows(path, ("class",)))
