"""Speech Commands v2 (Warden, 2018): a folder of one-second recordings for each word."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.data.sources.folder import ClassFolders

NOISE = "_background_noise_"


@dataclass(frozen=True)
class SpeechCommands(ClassFolders):
    """105,829 recordings of at most 1 s of 35 words, tiled up to a segment; ``group`` is the speaker."""

    name: ClassVar[str] = "speechcommands"

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every file; the background noise is not a word, and is skipped."""
        for item in super().recordings():
            if isinstance(item, Recording) and item.class_name == NOISE:
                yield SkippedInput(item.source, "", Reason.NO_CLASS, "background noise is not a word")
            else:
                yield item

    def group(self, path: Path) -> str:
        """Return the speaker, whose recordings of a word are numbered: ``<speaker>_nohash_<number>``."""
        speaker, mark, _ = path.stem.partition("_nohash_")
        return speaker if mark else ""
