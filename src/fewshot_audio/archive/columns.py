"""The columns of an index that conditions name, and the windows for which a condition holds."""

import difflib
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.where import Both, Comparison, Condition, Either, Missing, Not, parse_condition
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.recognition.scoring import Floats

Mask = NDArray[np.bool_]

TEXTS = ("file", "site", "recorder", "time")
NUMBERS = ("rate", "seconds")
OF_WINDOWS = ("start", "end", "date", "year", "month", "day", "hour")
"""Columns that differ between the windows of a recording; of its time, in which it may pass midnight."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Columns:
    """The columns of an index: what it knows of recordings and windows, and those of the table joined to it.

    Args:
        index: the index.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.names = (*TEXTS, *NUMBERS, *OF_WINDOWS, *index.metadata.columns)
        self._counts = np.array([recording.windows for recording in index.recordings], dtype=np.int64)

    def where(self, text: str) -> Mask:
        """The windows for which a condition holds, (windows,).

        A comparison of a missing value holds for none, and so does that of text with a number. Texts are compared as
        they are written, so that dates such as '2024-05-01' are in order.

        Raises:
            DataError: it is no condition, or names another column; says at which position.
        """
        return self._holds(parse_condition(text))

    def dates(self) -> NDArray[np.str_]:
        """The date of each window, 2024-01-31, "" if it is not known; (windows,)."""
        days = self._clock().astype("datetime64[D]")
        return np.where(np.isnat(days), "", days.astype(str))

    def _holds(self, condition: Condition) -> Mask:
        if isinstance(condition, Not):
            return ~self._holds(condition.condition)
        if isinstance(condition, Both | Either):
            parts = [self._holds(part) for part in condition.conditions]
            mask: Mask = np.logical_and.reduce(parts) if isinstance(condition, Both) else np.logical_or.reduce(parts)
            return mask
        name = condition.column
        if name not in self.names:
            close = difflib.get_close_matches(name.lower(), self.names, n=1, cutoff=0.5)
            hint = f"nearest: {close[0]}" if close else f"columns: {', '.join(self.names)}"
            raise DataError(f"position {condition.position}: no column {on_one_line(name[:40])!r} ({hint})")
        mask = self._missing(name) if isinstance(condition, Missing) else self._compared(condition)
        return mask if name in OF_WINDOWS else np.repeat(mask, self._counts)

    def _missing(self, name: str) -> Mask:
        if name == "date":
            return np.isnat(self._clock())
        if name in NUMBERS or name in OF_WINDOWS:
            return np.isnan(self._values(name))
        missing: Mask = self._texts(name) == ""
        return missing

    def _compared(self, comparison: Comparison) -> Mask:
        name, value = comparison.column, comparison.value
        compare = _OPERATORS[comparison.operator]
        if isinstance(value, str):
            if name in NUMBERS or (name in OF_WINDOWS and name != "date"):
                raise DataError(
                    f"position {comparison.position}: column {name} holds numbers, but is compared with the text "
                    f"{on_one_line(value[:40])!r}"
                )
            texts = self._texts(name)
            holds: Mask = compare(texts, value) & (texts != "")
            return holds
        if name in TEXTS or name == "date":
            raise DataError(f"position {comparison.position}: column {name} holds text: write {value:g} in quotes")
        numbers = self._values(name)
        mask: Mask = compare(numbers, value) & ~np.isnan(numbers)
        return mask

    def _texts(self, name: str) -> NDArray[np.object_]:
        """A column as texts, for each recording; that of dates, for each window."""
        if name == "date":
            return self.dates().astype(object)
        recordings = self._index.recordings
        cells = self._index.metadata.columns.get(name) or [getattr(recording, name) for recording in recordings]
        return np.array(cells, dtype=object)

    def _values(self, name: str) -> Floats:
        """A column as numbers, for each recording or window."""
        recordings, description = self._index.recordings, self._index.description
        if name == "rate":
            return np.array([recording.rate or np.nan for recording in recordings], dtype=np.float64)
        if name == "seconds":
            return np.array([recording.samples / description.rate for recording in recordings], dtype=np.float64)
        if name not in OF_WINDOWS:
            return np.array([_number(cell) for cell in self._index.metadata.columns[name]], dtype=np.float64)
        if name == "start":
            return self._starts()
        if name == "end":
            ends = self._starts() + description.window / description.rate
            lengths = np.array([recording.samples for recording in recordings]) / description.rate
            return np.minimum(ends, np.repeat(lengths, self._counts))
        clock = self._clock()
        parts = {
            "year": clock.astype("datetime64[Y]").astype(np.int64) + 1970,
            "month": clock.astype("datetime64[M]").astype(np.int64) % 12 + 1,
            "day": (clock.astype("datetime64[D]") - clock.astype("datetime64[M]")).astype(np.int64) + 1,
            "hour": (clock - clock.astype("datetime64[D]")).astype(np.int64) // 3600,
        }
        return np.where(np.isnat(clock), np.nan, parts[name].astype(np.float64))

    def _starts(self) -> Floats:
        """Seconds from the start of its recording to that of each window."""
        places = np.arange(len(self._index)) - np.repeat(self._index.first_windows, self._counts)
        return places * np.float64(self._index.description.hop / self._index.description.rate)

    def _clock(self) -> NDArray[np.datetime64]:
        """When each window begins; NaT if that is not known."""
        times = [recording.time or "NaT" for recording in self._index.recordings]
        begins = np.array(times, dtype="datetime64[s]")
        clock: NDArray[np.datetime64] = np.repeat(begins, self._counts) + self._starts().astype("timedelta64[s]")
        return clock


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
