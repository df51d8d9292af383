"""What is known of the sound that is kept of a clip, and how much of it is kept."""

import re
from dataclasses import dataclass

LARGEST_KEPT = 16 << 20
"""Bytes of a clip's sound; that of a clip with more is not kept."""
MOST_KEPT = 256 << 20
"""Bytes of all clips of a recognizer; the sound of clips beyond it is not kept."""
AUDIO_FILE = re.compile(r"clip-[0-9a-f]{16}\.flac")


@dataclass(frozen=True)
class KeptAudio:
    """The sound of a clip that is kept.

    Args:
        sha256: of the FLAC file.
        size: of the file, bytes.
    """

    sha256: str
    size: int

    @property
    def file(self) -> str:
        """Name of the file in a bundle's folder."""
        return f"clip-{self.sha256[:16]}.flac"
