"""Your own recordings: a folder of class folders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.recordings import class_of, is_folder, list_folder, walk
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True)
class ClassFolders:
    """Each folder in ``root`` is a class; every sound file below it, however deep, is one of its clips.

    Links are followed, hidden files are no inputs (``audio.recordings.walk``); every other file that is not a sound
    file is listed as skipped, and so is a class folder without any file.
    """

    root: Path
    name: ClassVar[str] = "folder"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every file, in the order of the paths."""
        if not self.root.is_dir():
            raise DataError(f"{self.root} is not a folder; expected a folder of class folders with recordings")
        for entry in list_folder(self.root):
            if is_folder(entry):
                yield from self._class_recordings(Path(entry.path), entry.name)
            elif is_audio(Path(entry.name)):
                yield SkippedInput(printable(entry.name), "", Reason.NO_CLASS, "lies in no class folder")
            else:
                yield SkippedInput(
                    printable(entry.name), "", Reason.NOT_AUDIO, f"extension {Path(entry.name).suffix!r}"
                )

    def group(self, path: Path) -> str:
        """Return the original recording that a clip was cut from; subclasses read it from the file's name."""
        return ""

    def _class_recordings(self, folder: Path, name: str) -> Iterator[Recording | SkippedInput]:
        class_name, is_empty = class_of(name), True
        for entry in walk(folder):
            is_empty = False
            source = printable(f"{name}/{entry.name}" if entry.name else name)
            if entry.problem is not None:
                yield SkippedInput(source, class_name, entry.problem.reason, entry.problem.detail)
            else:
                clip = entry.name.removesuffix(entry.path.suffix)
                yield Recording(source, class_name, clip, AudioFile(entry.path), self.group(entry.path))
        if is_empty:
            yield SkippedInput(printable(name), class_name, Reason.EMPTY, "a class folder without files")
