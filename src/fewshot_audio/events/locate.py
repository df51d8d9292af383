"""The recordings that tables name: found beside the table or in a folder, and nowhere else."""

import re
import unicodedata
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.recordings import NO_RECORDING, walk
from fewshot_audio.errors import DataError
from fewshot_audio.events.columns import shown

_SEPARATORS = re.compile(r"[/\\]+")
_DRIVE = re.compile(r"[A-Za-z]:")


class RecordingFinder:
    """Finds the recordings of a table.

    Args:
        table: the table.
        audio: the folder of its recordings, or its only recording; default: the folder of the table.

    Raises:
        DataError: there is nothing called ``audio``.
    """

    def __init__(self, table: Path, audio: Path | None = None) -> None:
        if audio is not None and not audio.exists():
            raise DataError(f"{audio}: no such folder or recording, which {table} belongs to")
        self._table = table
        self._only = audio.resolve() if audio is not None and not audio.is_dir() else None
        self.folder = (audio if audio is not None and self._only is None else table.parent).resolve()
        self.find = cache(self._find)
        self.renamed: dict[str, Path] = {}
        """Names that stand for no file below the folder, and the file of the same base name that was taken instead."""

    def _find(self, names: tuple[str, ...]) -> Path:
        """The recording that a row names; the names are tried in order.

        Raises:
            DataError: there is none, or several that it may be.
        """
        if self._only is not None:
            return self._check_only(names)
        if not names:
            return self._named_as_the_table()
        for name in names:
            if path := self._below(name):
                return path
        for name in names:
            if path := self._by_base_name(name):
                self.renamed[name] = path
                return path
        raise DataError(f"there is no recording {shown_path(names[0])} in {self.folder}")

    def _below(self, name: str) -> Path | None:
        """The file of a relative path without ".." below the folder, or of an absolute one that lies there."""
        for text in dict.fromkeys((name, name.replace("\\", "/"))):
            pure = PurePosixPath(text)
            if pure.is_absolute() and pure.is_relative_to(self.folder):
                pure = pure.relative_to(self.folder)
            if pure.is_absolute() or ".." in pure.parts or _DRIVE.match(text) or "\0" in text:
                continue
            path = self.folder / pure
            try:
                if path.is_file():
                    return path.resolve()
            except OSError:  # the name is too long
                continue
        return None

    def _by_base_name(self, name: str) -> Path | None:
        base = _comparable(_SEPARATORS.split(name)[-1])
        candidates = self._files.get(base) or self._stems.get(base) or []
        if len(candidates) > 1:
            raise DataError(f"recording {shown_path(name)}: {len(candidates)} files in {self.folder} have that name")
        return candidates[0].resolve() if candidates else None

    def _named_as_the_table(self) -> Path:
        """The recording "a.wav" of the table "a.txt", "a.wav.txt" or "a.Table.1.selections.txt"."""
        table = _comparable(self._table.name)
        stems = [stem for stem in self._stems if table.startswith(stem) and not table[len(stem) :][:1].isalnum()]
        longest = max(stems, key=len, default="")
        candidates = self._stems.get(longest, [])
        if len(candidates) == 1:
            return candidates[0].resolve()
        several = f"{len(candidates)} recordings" if candidates else "no recording"
        raise DataError(f"the table names no recording, and {several} in {self.folder} is called as the table is")

    def _check_only(self, names: tuple[str, ...]) -> Path:
        assert self._only is not None
        own = {_comparable(self._only.name), _comparable(_stem(self._only))}
        bases = [_comparable(_SEPARATORS.split(name)[-1]) for name in names]
        if bases and own.isdisjoint(bases):
            raise DataError(f"recording {shown_path(names[0])}, which is not {self._only.name}")
        return self._only

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for entry in walk(self.folder):
            if entry.problem is None or entry.problem.reason not in NO_RECORDING:
                files.setdefault(_comparable(entry.path.name), []).append(entry.path)
        return files

    @cached_property
    def _stems(self) -> dict[str, list[Path]]:
        stems: dict[str, list[Path]] = {}
        for path in (path for same_name in self._files.values() for path in same_name):
            stems.setdefault(_comparable(_stem(path)), []).append(path)
        return stems


def shown_path(name: str) -> str:
    """A path of a table for a message: its end, on one line."""
    return shown(name) if len(name) <= 40 else shown("..." + name[-36:])


def _stem(path: Path) -> str:
    return path.stem if is_audio(path) else path.name


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
