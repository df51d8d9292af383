"""The checksums of a prepared folder's clips, and clips that are compared with them."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from fewshot_audio.data.clip_files import ClipFile
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.preparation_journal import JOURNAL, read_journal
from fewshot_audio.errors import DataError

CHUNK = 1 << 20  # bytes read at a time
Checksums: TypeAlias = Mapping[tuple[str, str], int]
"""CRC-32 of the files of clips, by class and name; clips that nothing is recorded of are missing."""


def read_checksums(folder: DatasetFolder, kind: Literal["features", "waveforms"]) -> Checksums:
    """Read what ``prepare`` recorded of its clips; empty for a folder that other tools or version 0.1 made."""
    by_clip = {clip.key: getattr(clip, f"{kind}_crc32") for clip in read_journal(folder)}
    return {key: checksum for key, checksum in by_clip.items() if checksum is not None}


def is_intact(path: Path, checksum: int) -> bool:
    """Whether a file exists and has a checksum."""
    try:
        return _crc32(path) == checksum
    except OSError:
        return False


def check_clip(clip: ClipFile, checksums: Checksums) -> None:
    """Compare a clip's file with its checksum, if that is recorded.

    Raises:
        DataError: it cannot be read, or is not what ``prepare`` wrote.
    """
    expected = checksums.get((clip.class_name, clip.name))
    if expected is None:
        return
    try:
        actual = _crc32(clip.path)
    except OSError as error:
        raise DataError(f"{clip.path}: cannot be read: {error.strerror}") from error
    if actual != expected:
        raise DataError(
            f"{clip.path}: damaged: it is not what `prepare` wrote (checksum {actual:08x}, expected {expected:08x}). "
            "Run `prepare` again: it makes the damaged clips anew. If you have replaced the file on purpose, delete "
            f"{clip.path.parents[2] / JOURNAL}: the folder is then used as it is, but `prepare` no longer continues it"
        )


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
