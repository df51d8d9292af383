"""Tables of columns: selection tables of Raven, CSV in the usual spellings, and tables of DCASE."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Quality
from fewshot_audio.events.columns import Columns, is_number, shown, shown_names
from fewshot_audio.events.rows import ONE_LABEL, EventRow, EventRows, check_count

_QUALITIES: tuple[str, ...] = get_args(Quality)
_DELIMITERS = {"raven": "\t", "dcase": ",;\t", "csv": ",;\t|"}
_RAVEN_VIEW = re.compile(r"(Spectrogram|Waveform|Spectrogram Slice|Selection Spectrum) \d+", re.IGNORECASE)


def read_columns(text: str, rows: EventRows, form: str, label_column: str | None) -> None:
    """A table of columns with or without their names."""
    if text.startswith("sep="):  # what spreadsheets read and write to name the delimiter
        text = "\n" + text.partition("\n")[2]
    delimiter, columns, has_header = _find_columns(text, rows.table, form, label_column)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    filled = ((reader.line_num, row) for row in reader if any(cell and not cell.isspace() for cell in row))
    if has_header:
        next(filled)
    table = [(line, row) for line, row in _bounded(filled, rows.table)]
    classes = _class_columns(columns, [row for _, row in table])
    if "label" not in columns and not classes:
        rows.remarks.append(f"{rows.table}: no column of labels, so all events are called {ONE_LABEL!r}")
    several = len({columns.text(row, "file") for _, row in table}) > 1
    if several and "view" in columns and "file_offset" not in columns:
        rows.remarks.append(
            f"{rows.table}: several recordings without the column 'File Offset (s)', so times are taken as counted "
            "in each of them"
        )
    events: dict[tuple[str, ...], EventRow] = {}
    for line, row in table:
        try:
            event = _event(columns, line, row)
        except ValueError as error:
            rows.leave_out(line, str(error))
            continue
        if event is None:
            continue
        for place in classes:
            quality = cast(Quality, row[place].strip().upper())
            events[str(line), str(place)] = replace(event, label=columns.header[place], quality=quality)
        if not classes:
            key = _selection(columns, row, event)
            former = events.get(key)
            if former is None or (former.low_hz is None and event.low_hz is not None):
                events[key] = event
        check_count(len(events), rows.table)
    for event in events.values():
        rows.add(event)


def _selection(columns: Columns, row: Sequence[str], event: EventRow) -> tuple[str, ...]:
    """Identifies an event: Raven writes a row for each view of a selection, such as its waveform and spectrogram."""
    selection = columns.text(row, "selection")
    if not selection or "view" not in columns:
        return (str(event.line),)
    return (selection, *event.files, repr(event.start), repr(event.end), str(event.channel))


def _event(columns: Columns, line: int, row: Sequence[str]) -> EventRow | None:
    """The event of a row; None for one that only says that there is none."""
    start, end = columns.number(row, "start"), columns.number(row, "end")
    duration, in_file = columns.number(row, "duration"), columns.number(row, "file_offset")
    label = columns.text(row, "label") if "label" in columns else ONE_LABEL
    if start is None and end is None and (not label or "label" not in columns):
        return None
    if start is None:
        raise ValueError("no start")
    if end is None:
        if duration is None:
            raise ValueError("no end")
        end = start + duration
    if in_file is not None:  # the other two count from the start of the first of several recordings
        start, end = in_file, in_file + (end - start)
    quality = columns.text(row, "quality").upper() or "POS"
    if quality not in _QUALITIES:
        raise ValueError(f"Q is {shown(quality)}, expected {', '.join(_QUALITIES)}")
    channel = columns.text(row, "channel")
    names = (columns.text(row, "file"), columns.text(row, "file_name"))
    return EventRow(
        line,
        start,
        end,
        label,
        tuple(dict.fromkeys(name for name in names if name)),
        columns.number(row, "low_hz"),
        columns.number(row, "high_hz"),
        cast(Quality, quality),
        int(channel) if channel.isascii() and channel.isdigit() and len(channel) < 4 else None,
        columns.number(row, "score"),
    )


def _class_columns(columns: Columns, table: Sequence[Sequence[str]]) -> list[int]:
    """Places of the columns of a DCASE table for training, one for each class, which hold POS, NEG or UNK."""
    if "quality" in columns or "file" not in columns or not table:
        return []
    return [
        place
        for place, name in enumerate(columns.header)
        if name and all(place < len(row) and row[place].strip().upper() in _QUALITIES for row in table)
    ]


def _find_columns(text: str, table: Path, form: str, label_column: str | None) -> tuple[str, Columns, bool]:
    """The delimiter, the columns, and whether the first row has their names."""
    first_line = next(line for line in text.split("\n") if line.strip())
    for delimiter in _DELIMITERS[form]:
        header = _first_row(text, delimiter)
        columns = Columns(header)
        if columns.has_times and not any(is_number(cell) for cell in header):
            try:
                return delimiter, Columns(header, label_column), True
            except DataError as error:
                raise DataError(f"{table}: {error}") from error
    for delimiter in _DELIMITERS[form]:
        row = _first_row(text, delimiter)
        places = _places_without_header(row)
        if places:
            if label_column is not None:
                raise DataError(f"{table}: no names of columns in the first row, so none called {label_column!r}")
            return delimiter, Columns.of_places(places), False
    raise DataError(
        f"{table}: no table of events: the first row is {shown_names(first_line.split(chr(9)))}; expected columns for "
        "start and end, such as 'Begin Time (s)' and 'End Time (s)', or start and end"
    )


def _first_row(text: str, delimiter: str) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return next((row for row in reader if any(cell and not cell.isspace() for cell in row)), [])


def _places_without_header(row: Sequence[str]) -> dict[str, int]:
    """Where a first row of values has what; nothing if that cannot be said."""
    kinds = "".join("n" if is_number(cell) else "t" for cell in row)
    if len(row) >= 5 and _RAVEN_VIEW.fullmatch(row[1].strip()) and kinds[0] == "n" and kinds[2:5] == "nnn":
        places = {"selection": 0, "view": 1, "channel": 2, "start": 3, "end": 4}
        if kinds[5:7] == "nn":
            places |= {"low_hz": 5, "high_hz": 6}
        texts = [place for place in range(5, len(row)) if kinds[place] == "t" and row[place].strip()]
        return places | ({"label": texts[-1]} if texts else {})
    if kinds.startswith("tnn"):
        return {"file": 0, "start": 1, "end": 2} | ({"label": 3} if len(row) > 3 else {})
    if kinds.startswith("nnt"):
        return {"start": 0, "end": 1, "label": 2}
    return {}


def _bounded(rows: Iterator[tuple[int, list[str]]], table: Path) -> Iterator[tuple[int, list[str]]]:
    for count, row in enumerate(rows, start=1):
        check_count(count, table)
        yield row
