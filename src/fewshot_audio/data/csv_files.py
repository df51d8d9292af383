"""Tables with a header as CSV files."""

import codecs
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

from fewshot_audio.errors import DataError, format_names

MAX_TABLE = 256 << 20  # bytes; that of the largest dataset, 300,000 clips, has about 30 MB
MAX_ROWS = 3_000_000


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Read the rows of a table as ``read_numbered_rows`` does, without their lines."""
    return (row for _, row in read_numbered_rows(path, columns, optional))


def read_numbered_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a table, each with the line on which it ends.

    Columns are separated by tabs if the header contains one, by semicolons (as spreadsheets write in many languages) if
    the header has ``columns`` only then, else by commas. The text is UTF-8, or UTF-16 with a byte-order mark. Rows
    without any text, such as a spreadsheet leaves at the end, are left out.
    Only what is asked for is kept of a row: to fill every short row up to a long header could take hours.

    Args:
        path: the table.
        columns: columns that it must have; a cell that its row lacks is "".
        optional: columns that are read as "" if they are missing.

    Raises:
        DataError: the table cannot be read, is too large, or lacks one of these columns.
    """
    try:
        with path.open(encoding=_encoding(path), newline="") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_TABLE:
                raise DataError(f"{path}: a table of {size} bytes, expected at most {MAX_TABLE}: refused unread")
            delimiter = _delimiter(stream.readline(), columns)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            names = next(reader, [])
            missing = [column for column in columns if column not in names]
            if missing:
                shown = format_names([repr(name[:40]) for name in names], 20)
                raise DataError(f"{path}: column {missing[0]!r} is missing (found: {shown or 'none'})")
            place = {name: place for place, name in enumerate(names)}
            places = [(name, place.get(name, len(names))) for name in (*columns, *optional)]
            rows = (row for row in reader if any(cell and not cell.isspace() for cell in row))
            for number, row in enumerate(rows):
                if number >= MAX_ROWS:
                    raise DataError(f"{path}: more than {MAX_ROWS} rows")
                yield reader.line_num, {name: row[place] if place < len(row) else "" for name, place in places}
    except UnicodeError as error:
        raise DataError(f"{path} cannot be read: {error}; expected UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as CSV, numbers in full; a missing value and None are empty fields."""
    return csv_text(chain([columns], ([row.get(column) for column in columns] for row in rows)))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV, each ending in a line feed."""
    lines: list[str] = []
    # The default end of a row, so that line breaks of both kinds in names are quoted (up to Python 3.12).
    csv.writer(SimpleNamespace(write=lines.append)).writerows(rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def _encoding(path: Path) -> str:
    """UTF-16 if the table begins with its byte-order mark, which no UTF-8 text does."""
    with path.open("rb") as stream:
        return "utf-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(header: str, columns: Sequence[str]) -> str:
    if "\t" in header:
        return "\t"
    cells = {mark: next(csv.reader([header], delimiter=mark), []) for mark in ",;"}
    return ";" if set(cells[";"]).issuperset(columns) and not set(cells[","]).issuperset(columns) else ","
