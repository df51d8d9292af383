"""Answers as text, for people and programs. Columns and keys have a version, because programs read them."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from fewshot_audio.data.names import unique_names
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.options import PER_FILE, Format
from fewshot_audio.recognition.results import FileResult

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


def as_csv(results: Iterable[FileResult], top: int) -> str:
    """One row for each event, and one for a recording without any, whose status and remark say why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        for event in result.events:
            numbers = _numbers(event)
            tops = json.dumps(most_probable(event.probabilities, top), ensure_ascii=False)
            writer.writerow([result.file, *numbers.values(), tops, result.status, result.remark, VERSION])
        if not result.events:
            writer.writerow([result.file, *[""] * 7, result.status, result.remark, VERSION])
    return text.getvalue()


def as_json(results: Iterable[FileResult], top: int) -> str:
    """One object: the version, and the files with their events."""
    document = {"version": VERSION, "files": [_object(result, top) for result in results]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_jsonl(results: Iterable[FileResult], top: int) -> str:
    """One object on each line, for one recording: the version, and the keys that it has in ``as_json``."""
    lines = (json.dumps({"version": VERSION, **_object(result, top)}, ensure_ascii=False) for result in results)
    return "".join(line + "\n" for line in lines)


def as_raven(result: FileResult, rate: int) -> str:
    """A selection table of Raven; its frequencies are 0 and half of ``rate``, the recognizer's sample rate."""
    lines = ["\t".join(RAVEN_COLUMNS)]
    for number, e in enumerate(result.events, start=1):
        times = f"{e.start:.3f}\t{e.end:.3f}\t0\t{rate / 2:g}"
        lines.append(f"{number}\tSpectrogram 1\t1\t{times}\t{e.label}\t{e.score:.4f}")
    return "\n".join(lines) + "\n"


def as_audacity(result: FileResult) -> str:
    """A label track of Audacity: start, end, label and score."""
    return "".join(f"{e.start:.6f}\t{e.end:.6f}\t{e.label} {e.score:.2f}\n" for e in result.events)


def as_text(results: Iterable[FileResult], output_format: Format, top: int) -> str:
    """All recordings in one text: table, json, jsonl or csv."""
    writers = {Format.table: as_table, Format.json: as_json, Format.jsonl: as_jsonl, Format.csv: as_csv}
    return writers[output_format](results, top)


def label_files(results: Sequence[FileResult], output_format: Format) -> list[str]:
    """Names for the files of recordings: the recording's name, with a digest if several have the same."""
    return [n + PER_FILE[output_format] for n in unique_names([(PurePath(r.file).name, r.file) for r in results])]


def as_table(results: Iterable[FileResult], top: int) -> str:
    """Aligned columns for people: file, start, end, label, score, and the most probable classes."""
    rows: list[tuple[str, ...]] = [("file", "start", "end", "label", "score", f"most probable ({top})")]
    for result in results:
        for e in result.events:
            tops = ", ".join(f"{name} {value:.2f}" for name, value in most_probable(e.probabilities, top).items())
            score = f"{e.score:.2f}" if e.label != UNKNOWN else "-"
            rows.append((result.file, f"{e.start:.2f}", f"{e.end:.2f}", e.label, score, tops))
        if not result.events:
            rows.append((result.file, "-", "-", "-", "-", result.remark))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


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
