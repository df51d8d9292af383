"""FSDKaggle2018 (Fonseca et al., 2018) in its published layout: two audio folders and the tables of labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.data.sources.table import Entry, match_files, read_table
from fewshot_audio.errors import DataError

PARTS = {
    "FSDKaggle2018.audio_train": "FSDKaggle2018.meta/train_post_competition.csv",
    "FSDKaggle2018.audio_test": "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv",
}


@dataclass(frozen=True)
class FsdKaggle2018:
    """11,073 clips of 0.3 to 30 s in 41 classes; ``group`` is the Freesound recording that a clip was cut from."""

    root: Path
    name: ClassVar[str] = "fsdkaggle2018"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every row of both tables, each table followed by every other file in its folder."""
        for part, table in PARTS.items():
            if not (self.root / part).is_dir() or not (self.root / table).is_file():
                raise DataError(
                    f"{self.root} is not FSDKaggle2018 in its published layout: expected {part}/ and {table}"
                )
        for part, table in PARTS.items():
            rows = read_table(self.root / table, ("fname", "label"), ("freesound_id",))
            entries = (Entry(row["fname"], row["label"], row["freesound_id"]) for _, row in rows)
            yield from match_files(self.root, part, entries, table)
