"""Tables with a header as CSV files."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read the rows of a table, whose columns are separated by tabs if its header contains one, else by commas.

    Args:
        path: the table.
        columns: columns that it must have.

    Raises:
        DataError: the table cannot be read or lacks one of these columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter="\t" if "\t" in header else ",")
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column {missing[0]!r} is missing (found: {reader.fieldnames})")
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table atomically, separated by commas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
