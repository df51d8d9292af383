"""Watkins Marine Mammal Sound Database (Woods Hole Oceanographic Institution): a folder of cuts for each species."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.data.limits import Limits
from fewshot_audio.data.sources.folder import ClassFolders

_RECORD = re.compile(r"(\d{5})[0-9A-Z]{3}")  # year and number of the tape, then the cut


@dataclass(frozen=True)
class Watkins(ClassFolders):
    """The class is the folder, ``group`` the tape that a cut comes from; long recordings are left out."""

    name: ClassVar[str] = "watkins"
    limits: ClassVar[Limits] = Limits(longest_seconds=180.0)

    def group(self, path: Path) -> str:
        """The tape, where the file has its record number as name."""
        found = _RECORD.fullmatch(path.stem)
        return found[1] if found else ""
