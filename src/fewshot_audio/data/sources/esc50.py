"""ESC-50 (Piczak, 2015) in its published layout: ``meta/esc50.csv`` and ``audio/``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.data.sources.table import Entry, match_files, read_table
from fewshot_audio.errors import DataError

TABLE = "meta/esc50.csv"


@dataclass(frozen=True)
class Esc50:
    """2000 clips of 5 s in 50 classes; ``group`` is the Freesound recording that a clip was cut from."""

    root: Path
    name: ClassVar[str] = "esc50"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits(exact_seconds=5.0)

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every row of the csv file, then every other file in ``audio/``."""
        table = self.root / TABLE
        if not table.is_file() or not (self.root / "audio").is_dir():
            raise DataError(f"{self.root} is not ESC-50 in its published layout: expected {TABLE} and audio/")
        rows = [row for _, row in read_table(table, ("filename", "category"), ("src_file", "fold"))]
        # Copies without the origin of a clip have fold 0; their src_file is then not a recording.
        groups = ("" if row["fold"] == "0" else row["src_file"] for row in rows)
        entries = (Entry(row["filename"], row["category"], group) for row, group in zip(rows, groups, strict=True))
        yield from match_files(self.root, "audio", entries, TABLE)
