"""Detections as text: CSV, selection tables of Raven, labels of Audacity, and tables of DCASE."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from fewshot_audio.data.csv_files import csv_text
from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.rows import ONE_LABEL
from fewshot_audio.recognition.formats import audacity_label, raven_table

VERSION = 1
"""Version of the columns of CSV: incremented if one of them changes its meaning or is removed."""
CSV_COLUMNS = ("file", "start", "end", "label", "score", "low_hz", "high_hz", "version")


@dataclass(frozen=True)
class FileDetections:
    """The events that were detected in one recording.

    Args:
        file: its path, as text that can be written anywhere (``clips.as_text``).
        seconds: its duration.
        events: in the order of their starts.
        rate: the file's own sample rate, Hz.
        damage: what is wrong with the file, of which the rest was searched; "" if nothing is.
        error: why the recording cannot be used; None if it can.
    """

    file: str
    seconds: float = 0.0
    events: tuple[Detection, ...] = ()
    rate: int = 0
    damage: str = ""
    error: str | None = None

    @property
    def status(self) -> str:
        """``ok``, ``nothing`` or ``error``."""
        return "error" if self.error is not None else "ok" if self.events else "nothing"

    @property
    def remark(self) -> str:
        """The status in words."""
        if self.error is not None:
            return self.error
        return "; ".join(filter(None, ("" if self.events else "nothing detected", self.damage)))


class DetectionFormat(Protocol):
    """Writes detections as text; made without arguments."""

    extension: str
    """Of the file of each recording, such as ".labels.txt"; "" if one text holds all recordings."""

    def text(self, results: Sequence[FileDetections]) -> str:
        """The detections as text; with an ``extension`` those of one recording."""


class Csv:
    """One row for each event: times in seconds to 0.1 ms, frequencies empty if they are unknown."""

    extension = ""

    def text(self, results: Sequence[FileDetections]) -> str:
        """The rows below their names, ``CSV_COLUMNS``."""
        rows: list[Sequence[object]] = [CSV_COLUMNS]
        for result in results:
            for e in result.events:
                times = round(e.start, 4), round(e.end, 4)
                rows.append((result.file, *times, e.label, round(e.score, 4), e.low_hz, e.high_hz, VERSION))
        return csv_text(rows)


class Dcase:
    """One row for each event with a column for each label, as the tables for training of DCASE's task 5 have it.

    Events without labels, which are called "event", have the column Q instead.
    """

    extension = ""

    def text(self, results: Sequence[FileDetections]) -> str:
        """File, start, end, and POS in the column of the label, NEG in the others."""
        labels = list(dict.fromkeys(e.label for result in results for e in result.events)) or [ONE_LABEL]
        names = ["Q"] if labels == [ONE_LABEL] else labels
        rows: list[Sequence[object]] = [("Audiofilename", "Starttime", "Endtime", *names)]
        for result in results:
            file = PurePath(result.file).name
            for e in result.events:
                marks = ("POS" if e.label == label else "NEG" for label in labels)
                rows.append((file, round(e.start, 4), round(e.end, 4), *marks))
        return csv_text(rows)


class Raven:
    """A selection table of Raven, with the events' frequencies, or 0 Hz to half of the file's rate."""

    extension = ".selections.txt"

    def text(self, results: Sequence[FileDetections]) -> str:
        """The selections of one recording."""
        (result,) = results
        return raven_table(
            (e.start, e.end, e.low_hz or 0, e.high_hz or result.rate / 2, e.label, e.score) for e in result.events
        )


class Audacity:
    """A label track of Audacity: start, end, label and score, and the frequencies if they are known."""

    extension = ".labels.txt"

    def text(self, results: Sequence[FileDetections]) -> str:
        """The labels of one recording."""
        (result,) = results
        return "".join(
            audacity_label(e.start, e.end, e.label, e.score)
            + ("" if e.low_hz is None or e.high_hz is None else f"\\\t{e.low_hz:.6f}\t{e.high_hz:.6f}\n")
            for e in result.events
        )


DETECTION_FORMATS: dict[str, type[DetectionFormat]] = {
    "csv": Csv,
    "raven": Raven,
    "audacity": Audacity,
    "dcase": Dcase,
}
"""The formats of ``detect`` by name."""
