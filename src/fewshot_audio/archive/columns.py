"""The columns of an index that conditions name, and the windows for which a condition holds."""

import difflib
import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.where import Both, Comparison, Condition, Either, Missing, Not, parse_condition
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.recognition.scoring import Counts, Floats

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
        self._last: tuple[str, Floats] | None = None
        self._counts = np.array([recording.windows for recording in index.recordings], dtype=np.int64)

    def where(self, text: str) -> Mask:
        """The windows for which a condition holds, (windows,).

        A comparison of a missing value holds for none, and so does that of text with a number. Texts are compared as
        they are written, so that dates such as '2024-05-01' are in order.

        Raises:
            DataError: it is no condition, or names another column; says at which position.
        """
        return self._holds(parse_condition(text))

    @cached_property
    def dates(self) -> tuple[NDArray[np.object_], Counts]:
        """The dates of windows, 2024-01-31, "" for those not known, in order; and the number of each window's date."""
        numbers, date_of = np.unique(self._clock.astype("datetime64[D]").astype(np.int64), return_inverse=True)
        days = numbers.astype("datetime64[D]")  # NaT is the least number
        return np.array(["" if np.isnat(day) else str(day) for day in days], dtype=object), date_of

    def _holds(self, condition: Condition) -> Mask:
        if isinstance(condition, Not):
            return ~self._holds(condition.condition)
        if isinstance(condition, Both | Either):
            join = np.logical_and if isinstance(condition, Both) else np.logical_or
            joined = self._holds(condition.conditions[0])
            for part in condition.conditions[1:]:  # one after another: an archive has millions of windows
                join(joined, self._holds(part), out=joined)
            return joined
        name = condition.column
        if name not in self.names:
            close = difflib.get_close_matches(name.lower(), self.names, n=1, cutoff=0.5)
            hint = f"nearest: {close[0]}" if close else f"columns: {', '.join(self.names)}"
            raise DataError(f"position {condition.position}: no column {on_one_line(name[:40])!r} ({hint})")
        mask = self._missing(name) if isinstance(condition, Missing) else self._compared(condition)
        return mask if name in OF_WINDOWS else np.repeat(mask, self._counts)

    def _missing(self, name: str) -> Mask:
        if name == "date":
            return np.isnat(self._clock)
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
            texts, place_of = self.dates if name == "date" else (self._texts(name), None)
            holds: Mask = compare(texts, value) & (texts != "")
            return holds if place_of is None else holds[place_of]
        if name in TEXTS or name == "date":
            raise DataError(f"position {comparison.position}: column {name} holds text: write {value:g} in quotes")
        if self._last is None or self._last[0] != name:  # `in` compares one column many times
            self._last = name, self._values(name)
        numbers = self._last[1]
        mask: Mask = compare(numbers, value) & ~np.isnan(numbers)
        return mask

    def _texts(self, name: str) -> NDArray[np.object_]:
        """A column as texts, for each recording."""
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
        clock = self._clock
        days = clock.astype("datetime64[D]")
        if name == "year":
            part = clock.astype("datetime64[Y]").astype(np.int64) + 1970
        elif name == "month":
            part = clock.astype("datetime64[M]").astype(np.int64) % 12 + 1
        elif name == "day":
            part = (days - clock.astype("datetime64[M]")).astype(np.int64) + 1
        else:
            part = (clock - days).astype(np.int64) // 3600
        return np.where(np.isnat(clock), np.nan, part.astype(np.float64))

    def _starts(self) -> Floats:
        """Seconds from the start of its recording to that of each window."""
        places = np.arange(len(self._index)) - np.repeat(self._index.first_windows, self._counts)
        return places * np.float64(self._index.description.hop / self._index.description.rate)

    @cached_property
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
