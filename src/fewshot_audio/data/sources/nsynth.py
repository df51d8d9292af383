"""NSynth (Engel et al., 2017) in its published layout: ``nsynth-train``, ``nsynth-valid`` and ``nsynth-test``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.data.sources.table import Entry, match_files
from fewshot_audio.errors import DataError

PARTS = ("nsynth-train", "nsynth-valid", "nsynth-test")
TABLE = "examples.json"
MAX_TABLE = 1 << 30  # bytes; the published table of 289,000 notes has some 0.1 GB


@dataclass(frozen=True)
class NSynth:
    """305,979 notes of 4 s; the class is the instrument (``instrument_str``), 1006 of them over the three parts."""

    root: Path
    name: ClassVar[str] = "nsynth"
    segment_seconds: ClassVar[float] = 4.0
    limits: ClassVar[SourceLimits] = SourceLimits(exact_seconds=4.0)

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield the notes of every part that exists, each part followed by every other file in its ``audio/``."""
        parts = [part for part in PARTS if (self.root / part).is_dir()]
        if not parts:
            raise DataError(f"{self.root} is not NSynth in its published layout: expected {', '.join(PARTS)}")
        for part in parts:
            table = self.root / part / TABLE
            if not table.is_file() or not (self.root / part / "audio").is_dir():
                raise DataError(f"{self.root / part} is not a part of NSynth: expected {TABLE} and audio/")
            yield from match_files(self.root, f"{part}/audio", _entries(table), f"{part}/{TABLE}")


def _entries(table: Path) -> list[Entry]:
    try:
        size = table.stat().st_size
        if size > MAX_TABLE:
            raise DataError(f"{table}: {size} bytes, expected at most {MAX_TABLE}: refused unread")
        notes = json.loads(table.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{table} cannot be read: {error}") from error
    if not isinstance(notes, dict):
        raise DataError(f"{table}: found a {type(notes).__name__}, expected an object with one entry per note")
    entries = []
    for name, note in sorted(notes.items()):
        instrument = note.get("instrument_str") if isinstance(note, dict) else None
        if not isinstance(instrument, str) or not instrument.strip():
            raise DataError(f"{table}: note {name[:80]!r} has no instrument_str")
        try:
            f"{name}{instrument}".encode()
        except UnicodeEncodeError as error:  # half of a character, as JSON may write it: no file can have the name
            raise DataError(f"{table}: note {name[:80]!r} has a name that is not Unicode") from error
        entries.append(Entry(f"{name}.wav", instrument.strip()))
    return entries
