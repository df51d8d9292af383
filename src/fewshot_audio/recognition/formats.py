"""Answers as text, for people and programs. Columns and keys have a version, because programs read them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich.cells import cell_len

from fewshot_audio.data.csv_files import csv_text
from fewshot_audio.data.names import unique_names
from fewshot_audio.errors import on_one_line
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.output_formats import FormatOptions
from fewshot_audio.recognition.results import FileResult, RecordingResult

VERSION = 1
"""Version of the columns of CSV and the keys of JSON: incremented if one of them changes its meaning or is removed."""

CSV_COLUMNS = (
    "file",
    "start",
    "end",
    "label",
    "score",
    "unknown_score",
    "windows",
    "top",
    "status",
    "remark",
    "version",
)
RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Label", "Score",
)  # fmt: skip


def most_probable(probabilities: Mapping[str, float], top: int) -> dict[str, float]:
    """The ``top`` most probable classes, the most probable first."""
    ordered = sorted(probabilities.items(), key=lambda item: -item[1])[:top]
    return {name: round(value, 4) for name, value in ordered}


BYTE_ORDER_MARK = "\ufeff"
"""Begins a text that spreadsheets are to read as UTF-8."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""First characters of cells that spreadsheets compute."""


class Table:
    """Aligned columns for people: file, start, end, label, score, the most probable classes, and remarks if any."""

    extension = ""

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """One row for each event."""
        top = options.top
        rows: list[tuple[str, ...]] = [("file", "start", "end", "label", "score", f"most probable ({top})", "remark")]
        for result in results:
            file, remark = on_one_line(result.file), on_one_line(result.remark)
            for e in result.events:
                tops = ", ".join(f"{name} {value:.2f}" for name, value in most_probable(e.probabilities, top).items())
                score = f"{e.score:.2f}" if e.label != UNKNOWN else "-"
                label = on_one_line(e.label)
                rows.append((file, f"{e.start:.2f}", f"{e.end:.2f}", label, score, on_one_line(tops), remark))
            if not result.events:
                rows.append((file, "-", "-", "-", "-", "-", remark))
        if not any(result.remark for result in results):
            rows = [row[:-1] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "".join(line.rstrip(" ") + "\n" for line in lines)


class Json:
    """One object: the version, and the files with their events."""

    extension = ""

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """The object, indented."""
        document = {"version": VERSION, "files": [_object(result, options.top) for result in results]}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class JsonLines:
    """One object on each line, for one recording: the version, and the keys that it has in ``Json``."""

    extension = ""

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """A line for each recording."""
        objects = ({"version": VERSION, **_object(result, options.top)} for result in results)
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in objects)


class Csv:
    """One row for each event, and one for a recording without any, whose status and remark say why."""

    extension = ""

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """The rows below their names, ``CSV_COLUMNS``."""
        rows: list[Sequence[object]] = [CSV_COLUMNS]
        for result in results:
            for event in result.events:
                numbers = _numbers(event)
                tops = json.dumps(most_probable(event.probabilities, options.top), ensure_ascii=False)
                rows.append([result.file, *numbers.values(), tops, result.status, result.remark, VERSION])
            if not result.events:
                rows.append([result.file, *[""] * 7, result.status, result.remark, VERSION])
        return _csv_text(rows, excel=options.excel)


class Raven:
    """A selection table of Raven, from 0 Hz to half of the recognizer's rate, or of the file's own."""

    extension = ".selections.txt"

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """The selections of one recording."""
        (result,) = results
        highest = min(options.sample_rate, result.rate or options.sample_rate) / 2
        return raven_table((e.start, e.end, 0, highest, e.label, e.score) for e in result.events)


class Audacity:
    """A label track of Audacity: start, end, label and score."""

    extension = ".labels.txt"

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """The labels of one recording."""
        (result,) = results
        return "".join(audacity_label(e.start, e.end, e.label, e.score) for e in result.events)


def raven_table(rows: Iterable[tuple[float, float, float, float, str, float]]) -> str:
    """A selection table of Raven.

    Args:
        rows: of each selection its start and end in seconds, its lowest and highest frequency in Hz, label and score.
    """
    lines = ["\t".join(RAVEN_COLUMNS)]
    for number, (start, end, low, high, label, score) in enumerate(rows, start=1):
        box = f"{start:.3f}\t{end:.3f}\t{low:g}\t{high:g}"
        lines.append(f"{number}\tSpectrogram 1\t1\t{box}\t{on_one_line(label)}\t{score:.4f}")
    return "\n".join(lines) + "\n"


def audacity_label(start: float, end: float, label: str, score: float) -> str:
    """A line of a label track of Audacity: start and end in seconds, label and score."""
    return f"{start:.6f}\t{end:.6f}\t{on_one_line(label)} {score:.2f}\n"


def label_files(results: Sequence[RecordingResult], extension: str) -> list[str]:
    """Names for the files of recordings: the recording's name and the extension, with a digest if several are the same.

    One that cannot be used has none (""): an empty table would say that nothing is to be heard in it.
    """
    names = unique_names([(PurePath(result.file).name, result.file) for result in results])
    return [name + extension if result.error is None else "" for name, result in zip(names, results, strict=True)]


def as_list(results: Sequence[RecordingResult], labels: Sequence[str], *, excel: bool = False) -> str:
    """One row of CSV for each recording: its file of labels, how many there are, and what is to be said of it."""
    rows: list[Sequence[object]] = [("file", "labels", "events", "seconds", "status", "remark")]
    for result, name in zip(results, labels, strict=True):
        numbers = len(result.events), round(result.seconds, 3)
        rows.append((result.file, name, *numbers, result.status, result.remark))
    return _csv_text(rows, excel=excel)


def _csv_text(rows: Iterable[Sequence[object]], *, excel: bool) -> str:
    """Write rows as CSV.

    For a spreadsheet it begins with a byte order mark, and ``'`` stands before a text that would be computed, such as
    that of a class called "=1+1"; otherwise every text is as it is.
    """
    if not excel:
        return csv_text(rows)
    return BYTE_ORDER_MARK + csv_text([_not_computed(cell) for cell in row] for row in rows)


def _not_computed(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _numbers(e: Event) -> dict[str, Any]:
    return {
        "start": round(e.start, 4),
        "end": round(e.end, 4),
        "label": e.label,
        "score": round(e.score, 4),
        "unknown_score": round(e.unknown_score, 4),
        "windows": e.windows,
    }


def _object(result: FileResult, top: int) -> dict[str, Any]:
    return {
        "file": result.file,
        "seconds": round(result.seconds, 4),
        "status": result.status,
        "remark": result.remark,
        "windows": result.windows,
        "unknown_windows": result.unknown,
        "silent_windows": result.silent,
        "events": [{**_numbers(e), "top": most_probable(e.probabilities, top)} for e in result.events],
    }
