"""A partly received file: the bytes so far, and the version of the file that they belong to."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fewshot_audio.data.download.answer import Version, is_name
from fewshot_audio.errors import WriteError
from fewshot_audio.files import write_json


def part_path(target: Path) -> Path:
    """Return the file that has the received bytes until all have arrived."""
    return target.with_name(target.name + ".part")


class PartialFile:
    """The bytes of ``url`` received so far, in ``target.part``, and their version, in ``target.part.json``."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = part_path(target)
        self._target = target
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> Version:
        """The version of the received bytes; without a name if no later request can ask for it."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return Version()
        if not isinstance(note, dict) or note.get("url") != self.url:
            return Version()
        name, total = note.get("version"), note.get("total")
        if not isinstance(name, str) or not is_name(name):
            return Version()
        return Version(name, total if type(total) is int and total >= 0 else None)

    def begin(self, version: Version) -> None:
        """Start from the first byte of a version."""
        self.drop()  # first, so that bytes are never stored with the name of another version
        with self._disk_errors():
            write_json(self._note, {"url": self.url, "version": version.name, "total": version.total})
            self.path.touch()

    def drop(self) -> None:
        """Delete the received bytes."""
        with self._disk_errors():
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the complete file to its place."""
        with self._disk_errors():
            with self.path.open("rb") as stream:
                os.fsync(stream.fileno())
            self.path.replace(self._target)
            self._note.unlink(missing_ok=True)

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends bytes, without a buffer that would be lost if the process is killed."""
        with self._disk_errors():
            stream = self.path.open("ab", buffering=0)

        def append(chunk: bytes) -> None:
            rest = memoryview(chunk)
            with self._disk_errors():
                while rest:
                    rest = rest[stream.write(rest) :]

        try:
            yield append
        finally:
            with self._disk_errors():
                stream.close()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn errors of the disk, which end a transfer, into WriteError; those of the network only end an attempt."""
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"{self._target}: cannot be written: {error.strerror or error}; what has arrived is kept in "
                f"{self.path}: run the same command again to continue"
            ) from error
