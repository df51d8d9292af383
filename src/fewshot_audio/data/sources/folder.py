"""Your own recordings: a folder of class folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, Skipped, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True)
class ClassFolders:
    """Each folder in ``root`` is a class; every sound file below it, however deep, is one of its clips.

    Links are followed, each folder being visited once a class. Hidden files and folders (names that begin with a dot)
    are not inputs; everything else that is no sound file is listed as skipped.
    """

    root: Path
    name: ClassVar[str] = "folder"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every file, in the order of the paths."""
        if not self.root.is_dir():
            raise DataError(f"{self.root} is not a folder; expected a folder of class folders with recordings")
        for entry in _entries(self.root):
            if _is_dir(entry):
                yield from self._walk(entry)
            elif _is_audio(entry.name):
                yield Skipped(printable(entry.name), "", Reason.NO_CLASS, "lies in no class folder")
            else:
                yield Skipped(printable(entry.name), "", *_not_audio(entry.name))

    def group(self, path: Path) -> str:
        """The original recording that a clip was cut from; unknown here, read from file names by subclasses."""
        return ""

    def _walk(self, top: os.DirEntry[str]) -> Iterator[Recording | Skipped]:
        class_name, pending = top.name, [(top, "")]
        visited: set[tuple[int, int]] = set()
        while pending:
            entry, inside = pending.pop()  # its path within the class, with a slash at the end if it is a folder
            source = printable(f"{class_name}/{inside}".removesuffix("/"))
            if _is_dir(entry):
                try:
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) in visited:
                        detail = "a link to a folder that was visited already"
                        yield Skipped(source, class_name, Reason.LINK_LOOP, detail)
                        continue
                    visited.add((status.st_dev, status.st_ino))
                    for below in reversed(_entries(entry.path)):
                        pending.append((below, f"{inside}{below.name}{'/' if _is_dir(below) else ''}"))
                except OSError as error:
                    yield Skipped(source, class_name, Rejected.from_os_error(error).reason, f"folder: {error.strerror}")
            elif not _is_audio(entry.name):
                yield Skipped(source, class_name, *_not_audio(entry.name))
            elif not _is_file(entry):
                if entry.is_symlink():
                    yield Skipped(source, class_name, Reason.MISSING, "a broken link")
                else:
                    yield Skipped(source, class_name, Reason.UNREADABLE, "not a regular file")
            else:
                path = Path(entry.path)
                clip = inside.removesuffix(path.suffix)
                yield Recording(source, class_name, clip, AudioFile(path), self.group(path))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden entries, by name; directory entries know their kind without another look."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_EXTENSIONS  # noqa: PTH122 - strings, 300,000 times


def _not_audio(name: str) -> tuple[Reason, str]:
    return Reason.NOT_AUDIO, f"extension {Path(name).suffix!r}"
