"""Your own recordings: a folder of class folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True)
class ClassFolders:
    """Each folder in ``root`` is a class; every sound file below it, however deep, is one of its clips.

    Links are followed, but each folder is visited only once per class. Hidden files and folders (names that begin with
    a dot) are not inputs; every other file that is not a sound file is listed as skipped.
    """

    root: Path
    name: ClassVar[str] = "folder"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every file, in the order of the paths."""
        if not self.root.is_dir():
            raise DataError(f"{self.root} is not a folder; expected a folder of class folders with recordings")
        for entry in _entries(self.root):
            if _is_dir(entry):
                yield from self._walk(entry)
            elif _is_audio(entry.name):
                yield SkippedInput(printable(entry.name), "", Reason.NO_CLASS, "lies in no class folder")
            else:
                yield SkippedInput(printable(entry.name), "", *_not_audio(entry.name))

    def group(self, path: Path) -> str:
        """Return the original recording that a clip was cut from; subclasses read it from the file's name."""
        return ""

    def _walk(self, top: os.DirEntry[str]) -> Iterator[Recording | SkippedInput]:
        class_name, pending = top.name, [(top, top.name)]
        visited: set[tuple[int, int]] = set()
        while pending:
            entry, source = pending.pop()
            name = printable(source)
            skip = partial(SkippedInput, name, class_name)
            if _is_dir(entry):
                try:
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) in visited:
                        yield skip(Reason.LINK_LOOP, "a link to a folder that was already visited")
                        continue
                    visited.add((status.st_dev, status.st_ino))
                    pending += [(below, f"{source}/{below.name}") for below in reversed(_entries(entry.path))]
                except OSError as error:
                    yield skip(Rejected.from_os_error(error).reason, f"folder: {error.strerror}")
            elif not _is_audio(entry.name):
                yield skip(*_not_audio(entry.name))
            elif _is_file(entry):
                path = Path(entry.path)
                clip = source.removeprefix(f"{class_name}/").removesuffix(path.suffix)
                yield Recording(name, class_name, clip, AudioFile(path), self.group(path))
            elif entry.is_symlink():
                yield skip(Reason.MISSING, "a broken link")
            else:
                yield skip(Reason.UNREADABLE, "not a regular file")


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """List a folder by name, without hidden entries; directory entries have their kind without another system call."""
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
