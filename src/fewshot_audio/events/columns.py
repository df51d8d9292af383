"""The columns that tables of events have, by their usual names, and the numbers in their cells."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewshot_audio.errors import DataError, format_names, on_one_line

UNITS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "ms": 1e-3, "hz": 1.0, "khz": 1e3}
"""Last words of a column's name that say what its numbers are to be multiplied by."""

NAMES: Mapping[str, Sequence[str]] = {
    "start": ("start", "begin time", "start time", "starttime", "begin", "onset", "onset time", "tmin", "t min"),
    "end": ("end", "end time", "endtime", "stop", "stop time", "offset", "offset time", "tmax", "t max"),
    "duration": ("duration", "delta time", "length"),
    "file_offset": ("file offset",),
    "file": (
        *("begin path", "file", "filename", "file name", "audiofilename", "audio filename", "begin file", "filepath"),
        *("file path", "path", "audio", "audio file", "sound file", "soundfile", "recording", "wav"),
    ),
    "file_name": ("begin file",),
    "label": (
        *(
            "annotation",
            "annotations",
            "label",
            "labels",
            "class",
            "class name",
            "class label",
            "species",
            "species code",
        ),
        *(
            "common name",
            "scientific name",
            "event label",
            "event",
            "category",
            "sound type",
            "call type",
            "tag",
            "name",
        ),
    ),
    "low_hz": (
        *("low freq", "low frequency", "low", "low hz", "min freq", "minimum frequency", "min frequency", "freq low"),
        *("freq min", "fmin", "f min", "f low", "lower frequency", "low f"),
    ),
    "high_hz": (
        *("high freq", "high frequency", "high", "high hz", "max freq", "maximum frequency", "max frequency"),
        *("freq high", "freq max", "fmax", "f max", "f high", "upper frequency", "high f"),
    ),
    "quality": ("q",),
    "channel": ("channel", "channel number"),
    "score": ("score", "confidence", "probability"),
    "view": ("view",),
    "selection": ("selection",),
}
"""What is read of a row, and how a column that holds it may be called, the preferred name first."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d*)?)", re.ASCII)  # hours, minutes and seconds
LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Column:
    """Where a row has something, and what its number is multiplied by."""

    place: int
    factor: float = 1.0


class Columns:
    """The columns of a table that are read.

    Args:
        header: the names.
        label_column: the name of the column of labels; None if it has a usual one.

    Raises:
        DataError: the table has no column ``label_column``.
    """

    def __init__(self, header: Sequence[str], label_column: str | None = None) -> None:
        places: dict[str, Column] = {}
        for place, cell in enumerate(header):
            words = _words(cell)
            has_unit = len(words) > 1 and words[-1] in UNITS
            column = Column(place, UNITS[words[-1]] if has_unit else 1.0)
            for name in (words, words[:-1]) if has_unit else (words,):
                places.setdefault(" ".join(name), column)
        self._columns = {
            field: next(places[name] for name in names if name in places)
            for field, names in NAMES.items()
            if any(name in places for name in names)
        }
        if label_column is not None:
            exact = [place for place, cell in enumerate(header) if cell.strip() == label_column.strip()]
            if not exact:
                raise DataError(f"column {label_column!r} is missing (it has {shown_names(header)})")
            self._columns["label"] = Column(exact[0])
        self.header = tuple(cell.strip() for cell in header)

    @classmethod
    def of_places(cls, fields: Mapping[str, int]) -> "Columns":
        """The columns of a table without a header."""
        columns = cls(())
        columns._columns = {field: Column(place) for field, place in fields.items()}
        return columns

    def __contains__(self, field: str) -> bool:
        return field in self._columns

    @property
    def has_times(self) -> bool:
        """Whether a row says when its event begins and ends."""
        return "start" in self and ("end" in self or "duration" in self)

    def text(self, row: Sequence[str], field: str) -> str:
        """The cell of a field without blanks around it; "" if there is none."""
        column = self._columns.get(field)
        return row[column.place].strip() if column is not None and column.place < len(row) else ""

    def number(self, row: Sequence[str], field: str) -> float | None:
        """The number of a field; None if its cell is empty. Raises ValueError, which says what is there instead."""
        cell = self.text(row, field)
        return None if not cell else number(cell, field) * self._columns[field].factor


def number(cell: str, field: str) -> float:
    """A number with a decimal point or comma, or a time as h:mm:ss. Raises ValueError for anything else."""
    text = cell.strip()
    value = math.nan
    if _NUMBER.fullmatch(text):
        value = float(text.replace(",", "."))
    elif clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
        value = 3600 * hours + 60 * minutes + seconds
    if not math.isfinite(value):
        raise ValueError(f"{field} is {shown(cell)}, expected a number")
    return value


def is_number(cell: str) -> bool:
    """Whether a cell has a number."""
    try:
        number(cell, "")
    except ValueError:
        return False
    return True


def shown(cell: str) -> str:
    """A cell for a message: shortened, on one line."""
    return repr(on_one_line(cell[:LONGEST_SHOWN] + ("..." if len(cell) > LONGEST_SHOWN else "")))


def shown_names(header: Sequence[str]) -> str:
    """The names of columns for a message."""
    return format_names([shown(name) for name in header[:100] if name.strip()], 12) or "no columns"


def _words(cell: str) -> list[str]:
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cell[:200]).casefold())
