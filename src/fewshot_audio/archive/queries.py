"""What is searched for: a recording, the events of a table, or a class of a recognizer, as rows of its network."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.archive.halves import Singles
from fewshot_audio.audio.decode import decode, is_audio
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Span
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.read import read_annotations
from fewshot_audio.recognition.bundle import is_bundle
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.recognizer import Recognizer

MOST_QUERIES = 1000
"""Rows that are searched for at once."""


@dataclass(frozen=True)
class Queries:
    """What is searched for.

    Attributes:
        rows: (queries, width of the block "embedding" of the index).
        label: of the events that are shown.
        problems: rows of a table that cannot be used, a line each.
        remarks: what was taken otherwise than it stands in a table, a line each.
    """

    rows: Singles
    label: str
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def split_class(query: str) -> tuple[Path, str] | None:
    """A bundle and the name of one of its classes, if a query is BUNDLE:CLASS."""
    for place, sign in enumerate(query):
        if sign == ":" and is_bundle(Path(query[:place])):
            return Path(query[:place]), query[place + 1 :]
    return None


def class_queries(recognizer: Recognizer, name: str) -> Queries:
    """The enrolled clips of a class. Raises DataError if there is no such class."""
    rows = [clip.rows for clip in recognizer.parts().sounds.classes[name].clips] if name in recognizer.classes else None
    if rows is None:
        classes = ", ".join(recognizer.classes) or "none"
        raise DataError(f"no class {on_one_line(name)!r} is enrolled (enrolled: {on_one_line(classes)})")
    per_segment = len(rows[0]) // recognizer.clips(name)[0].segments
    width = rows[0].shape[1]
    return Queries(_thinned(np.concatenate(rows).reshape(-1, per_segment * width)), name)


def file_queries(recognizer: Recognizer, path: Path, audio: Path | None = None) -> Queries:
    """The segments of a recording, or of the events of a table.

    Args:
        recognizer: its network embeds them.
        path: a sound file or a table of events.
        audio: folder of a table's recordings; default: that of the table.

    Raises:
        DataError: it cannot be used, or the table has no event that can.
    """
    if is_audio(path):
        return Queries(_thinned(_rows(recognizer, [_load(recognizer, path)])), path.stem)
    table = read_annotations(path, audio)
    events = [event for event in table.annotations if event.quality == "POS"]
    clips, problems, remarks = [], list(table.problems), list(table.remarks)
    if len(events) > MOST_QUERIES:
        remarks.append(f"{path}: of {len(events)} events, the first {MOST_QUERIES} are searched for")
    for event in events[:MOST_QUERIES]:
        try:
            clips.append(_load(recognizer, event.file, (event.start, event.end)))
        except DataError as error:
            problems.append(str(error))
    if not clips:
        raise DataError(f"{path}: no event that can be searched for" + "".join(f"\n{line}" for line in problems[:5]))
    return Queries(_thinned(_rows(recognizer, clips)), _label(events), tuple(problems), tuple(remarks))


def _label(events: list[Annotation]) -> str:
    labels = list(dict.fromkeys(event.label for event in events))
    return labels[0] if len(labels) == 1 else "event"


def _load(recognizer: Recognizer, path: Path, span: Span | None = None) -> LoadedClip:
    """Load a recording, or a part of it."""
    try:
        samples, _ = decode(path, recognizer.sample_rate, span)
        return LoadedClip.of(samples, recognizer.preprocessing, path.name)
    except Rejected as error:
        place = f", {span[0]:g} to {span[1]:g} s" if span else ""
        raise DataError(f"{on_one_line(str(path))}{place}: {error}") from error


def _rows(recognizer: Recognizer, clips: Iterable[LoadedClip]) -> Singles:
    rows = []
    for clip, embedded in recognizer.embedder.embed_clips(list(clips)):
        rows.append(embedded.reshape(len(clip.segments), -1))
    return np.concatenate(rows)


def _thinned(rows: Singles) -> Singles:
    """At most ``MOST_QUERIES`` rows, at even distances."""
    if len(rows) <= MOST_QUERIES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_QUERIES).round().astype(np.int64)]
