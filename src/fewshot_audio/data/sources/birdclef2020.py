"""BirdCLEF 2020 (Kahl et al., 2020): a folder of mp3 files for each bird."""

from dataclasses import dataclass
from typing import ClassVar

from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.folder import ClassFolders


@dataclass(frozen=True)
class BirdClef2020(ClassFolders):
    """The class is the folder; as in MetaAudio, long recordings are left out first, then small classes."""

    name: ClassVar[str] = "birdclef2020"
    limits: ClassVar[SourceLimits] = SourceLimits(longest_seconds=180.0, least_clips=50)
