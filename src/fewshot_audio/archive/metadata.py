"""Columns that a table adds to the recordings of an index: they are kept beside it, and joined when it is opened."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fewshot_audio.data.csv_files import csv_text, read_numbered_rows
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.files import write_text

METADATA_FILE = "metadata.csv"
FILE_COLUMN = "file"
MOST_COLUMNS = 100
LONGEST_CELL = 1000
LONGEST_HEADER = 1 << 16
OWN_COLUMNS = frozenset(
    {"file", "site", "recorder", "time", "date", "year", "month", "day", "hour", "start", "end", "seconds", "rate"}
)
"""Names of what an index knows by itself."""
WORDS = frozenset({"and", "or", "not", "between", "in", "is", "missing"})
"""Words of conditions, which no column can be called."""


@dataclass(frozen=True)
class Metadata:
    """Further columns.

    Attributes:
        columns: the cells of each, one for each recording; "" if the table has none for it.
        joined: how many recordings the table has a row of.
    """

    columns: Mapping[str, list[str]] = field(default_factory=dict)
    joined: int = 0


def write_metadata(table: Path, folder: Path, files: Sequence[str]) -> int:
    """Keep a table with an index, instead of a former one, which stays if this one cannot be joined.

    Args:
        table: the table.
        folder: the index.
        files: names of its recordings.

    Returns:
        How many recordings it has a row of.

    Raises:
        DataError: it has no column "file", one that an index has by itself, or two rows of a recording; says which.
    """
    joined = join_metadata(table, files).joined
    columns = _columns(table)
    rows = (row for _, row in read_numbered_rows(table, [FILE_COLUMN], columns))
    text = csv_text([[FILE_COLUMN, *columns], *([row[name][:LONGEST_CELL] for name in row] for row in rows)])
    write_text(folder / METADATA_FILE, text)
    return joined


def read_metadata(folder: Path, files: Sequence[str]) -> Metadata:
    """Join the table that is kept with an index, if there is one. Raises DataError if it cannot be trusted."""
    table = folder / METADATA_FILE
    return join_metadata(table, files) if table.is_file() else Metadata()


def join_metadata(table: Path, files: Sequence[str]) -> Metadata:
    """Join a table to recordings: by their names, or by base names that are there once.

    Raises:
        DataError: it cannot be joined; says why, and in which line.
    """
    columns = _columns(table)
    place = {name: number for number, name in enumerate(files)}
    bases: dict[str, int | None] = {}
    for number, name in enumerate(files):
        base = PurePosixPath(name).name
        bases[base] = None if base in bases else number
    cells: dict[str, list[str]] = {name: [""] * len(files) for name in columns}
    joined: set[int] = set()
    for line, row in read_numbered_rows(table, [FILE_COLUMN], columns):
        name = row[FILE_COLUMN].replace("\\", "/")
        found = place.get(name, bases.get(name))
        if found is None:
            continue
        if found in joined:
            raise DataError(f"{table}, line {line}: a second row of {on_one_line(name[:100])!r}")
        joined.add(found)
        for column in columns:
            cells[column][found] = row[column][:LONGEST_CELL]
    return Metadata(cells, len(joined))


def _columns(table: Path) -> list[str]:
    """The names of a table's columns beside "file"."""
    try:
        with table.open("rb") as stream:
            content = stream.read(LONGEST_HEADER + 1)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        header = content.decode(encoding, "replace").replace("\r", "\n").split("\n", 1)[0]
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror or os.strerror(error.errno or 0)})") from error
    mark = "\t" if "\t" in header else ";" if FILE_COLUMN in next(csv.reader([header], delimiter=";"), []) else ","
    names = [name for name in next(csv.reader([header], delimiter=mark), []) if name != FILE_COLUMN]
    if len(names) > MOST_COLUMNS or len(header) > LONGEST_HEADER:
        raise DataError(f"{table}: more than {MOST_COLUMNS} columns")
    for name in names:
        if reason := _refusal(name, names):
            raise DataError(f"{table}: column {on_one_line(name[:40])!r}: {reason}")
    return names


def _refusal(name: str, names: Sequence[str]) -> str:
    """Why a column cannot be called so; "" if it can."""
    if name.lower() in OWN_COLUMNS:
        return "which an index has by itself: rename it"
    if name.lower() in WORDS:
        return "a word of conditions: rename it"
    if not name.isidentifier() or names.count(name) > 1:
        return "expected names of letters, digits and _, each once"
    return ""
