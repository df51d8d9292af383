"""Your own recordings: a folder of class folders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason, rejection
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

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every file, in the order of the paths."""
        if not self.root.is_dir():
            raise DataError(f"{self.root} is not a folder; expected a folder of class folders with recordings")
        for entry in _entries(self.root):
            if entry.is_dir():
                yield from self._walk(entry, entry.name)
            elif is_audio(entry):
                yield self._skip(entry, "", Reason.NO_CLASS, "lies in no class folder")
            else:
                yield self._skip(entry, "", Reason.NOT_AUDIO, f"extension {entry.suffix!r}")

    def _walk(self, top: Path, class_name: str) -> Iterator[Recording | Skipped]:
        waiting = [top]
        visited: set[tuple[int, int]] = set()
        while waiting:
            path = waiting.pop()
            if path.is_dir():
                status = path.stat()
                if (status.st_dev, status.st_ino) in visited:
                    yield self._skip(path, class_name, Reason.LINK_LOOP, "a link to a folder that was visited already")
                    continue
                visited.add((status.st_dev, status.st_ino))
                try:
                    waiting += reversed(_entries(path))
                except OSError as error:
                    yield self._skip(path, class_name, rejection(error).reason, f"folder: {error.strerror}")
            elif not is_audio(path):
                yield self._skip(path, class_name, Reason.NOT_AUDIO, f"extension {path.suffix!r}")
            elif not path.is_file():
                if path.is_symlink():
                    yield self._skip(path, class_name, Reason.MISSING, "a broken link")
                else:
                    yield self._skip(path, class_name, Reason.UNREADABLE, "not a regular file")
            else:
                clip = path.relative_to(top).with_suffix("").as_posix()
                source = printable(path.relative_to(self.root))
                yield Recording(source, class_name, clip, AudioFile(path))

    def _skip(self, path: Path, class_name: str, reason: Reason, detail: str) -> Skipped:
        return Skipped(printable(path.relative_to(self.root)), class_name, reason, detail)


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
