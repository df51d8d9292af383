"""Watkins Marine Mammal Sound Database (Woods Hole Oceanographic Institution): a folder of cuts for each species."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.folder import ClassFolders

_RECORD = re.compile(r"(\d{5})[0-9A-Z]{3}")  # year and number of the tape, then the cut


@dataclass(frozen=True)
class Watkins(ClassFolders):
    """The class is the folder, ``group`` the tape that a cut comes from; long recordings are left out."""

    name: ClassVar[str] = "watkins"
    limits: ClassVar[SourceLimits] = SourceLimits(longest_seconds=180.0)

    def group(self, path: Path) -> str:
        """Return the tape, if the file is named by its record number."""
        match = _RECORD.fullmatch(path.stem)
        return match[1] if match else ""
