"""Tables with a header as CSV files."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fewshot_audio.errors import DataError, format_names

MAX_TABLE = 256 << 20  # bytes; that of the largest dataset, 300,000 clips, has about 30 MB
MAX_ROWS = 3_000_000


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Read the rows of a table, whose columns are separated by tabs if its header contains one, else by commas.

    Only what is asked for is kept of a row: to fill every short row up to a long header could take hours.

    Args:
        path: the table.
        columns: columns that it must have; a cell that its row lacks is "".
        optional: columns that are read as "" if they are missing.

    Raises:
        DataError: the table cannot be read, is too large, or lacks one of these columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_TABLE:
                raise DataError(f"{path}: a table of {size} bytes, expected at most {MAX_TABLE}: refused unread")
            header = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter="\t" if "\t" in header else ",")
            names = next(reader, [])
            missing = [column for column in columns if column not in names]
            if missing:
                shown = format_names([repr(name[:40]) for name in names], 20)
                raise DataError(f"{path}: column {missing[0]!r} is missing (found: {shown or 'none'})")
            place = {name: place for place, name in enumerate(names)}
            places = [(name, place.get(name, len(names))) for name in (*columns, *optional)]
            for number, row in enumerate(filter(None, reader)):  # without blank lines
                if number >= MAX_ROWS:
                    raise DataError(f"{path}: more than {MAX_ROWS} rows")
                yield {name: row[place] if place < len(row) else "" for name, place in places}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as CSV, numbers in full; a missing value and None are empty fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
