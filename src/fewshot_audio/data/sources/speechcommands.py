"""Speech Commands v2 (Warden, 2018): a folder of one-second recordings for each word."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.sources.base import Recording, Skipped
from fewshot_audio.data.sources.folder import ClassFolders

NOISE = "_background_noise_"


@dataclass(frozen=True)
class SpeechCommands(ClassFolders):
    """105,829 recordings of at most 1 s of 35 words, tiled up to a segment; ``group`` is the speaker."""

    name: ClassVar[str] = "speechcommands"

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every file; the background noise is no word."""
        for item in super().recordings():
            if isinstance(item, Recording) and item.class_name == NOISE:
                yield Skipped(item.source, "", Reason.NO_CLASS, "background noise is no word")
            else:
                yield item

    def group(self, path: Path) -> str:
        """The speaker, whose recordings of a word are numbered: ``<speaker>_nohash_<number>``."""
        speaker, mark, _ = path.stem.partition("_nohash_")
        return speaker if mark else ""
