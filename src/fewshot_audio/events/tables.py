"""Tables of events: which program wrote one, and its rows."""

import csv
from pathlib import Path
from typing import Literal, TypeAlias

from fewshot_audio.errors import DataError
from fewshot_audio.events.audacity import is_audacity, read_audacity
from fewshot_audio.events.delimited import read_columns
from fewshot_audio.events.rows import EventRows
from fewshot_audio.events.table_text import read_text

TableFormat: TypeAlias = Literal["raven", "audacity", "csv", "dcase"]


def read_rows(table: Path, form: TableFormat | None = None, label_column: str | None = None) -> EventRows:
    """Read the rows of a table.

    Args:
        table: the file.
        form: which program wrote it; default: what its content says.
        label_column: the name of the column of labels; default: a usual one.

    Raises:
        DataError: the table cannot be read, is too large, is no table of events, or has no such column.
    """
    text, is_western = read_text(table)
    rows = EventRows(table)
    if is_western:
        rows.remarks.append(f"{table}: no UTF-8, read as text of Windows (Western European)")
    if not text.strip():
        raise DataError(f"{table}: an empty table, expected events")
    try:
        if form == "audacity" or (form is None and is_audacity(text)):
            if label_column is not None:
                raise DataError(f"{table}: labels of Audacity have no columns, so none called {label_column!r}")
            read_audacity(text, rows)
        else:
            read_columns(text, rows, form or "csv", label_column)
    except csv.Error as error:
        raise DataError(f"{table} cannot be read: {error}") from error
    return rows
