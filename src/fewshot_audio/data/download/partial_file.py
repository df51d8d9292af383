"""A partly received file: the bytes so far, and the version of the file that they belong to."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json


def part_path(target: Path) -> Path:
    """Return the file that has the received bytes until all have arrived."""
    return target.with_name(target.name + ".part")


class PartialFile:
    """The bytes of ``url`` received so far, in ``target.part``, and their version, in ``target.part.json``."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = part_path(target)
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str:
        """The server's name for the version; "" if there is none, so that no later request can ask for it."""
        try:
            note = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return ""
        own = isinstance(note, dict) and note.get("url") == self.url
        return str(note.get("version", "")) if own else ""

    def begin(self, version: str) -> None:
        """Start from the first byte of a version."""
        self.drop()  # first, so that bytes are never stored with the name of another version
        with disk_errors(self.path):
            write_json(self._note, {"url": self.url, "version": version})
            self.path.touch()

    def drop(self) -> None:
        """Delete the received bytes."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Move the complete file to ``target``."""
        with disk_errors(self.path):
            with self.path.open("rb") as stream:
                os.fsync(stream.fileno())
            self.path.replace(target)
            self._note.unlink(missing_ok=True)

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends bytes, without a buffer that would be lost if the process is killed."""
        with disk_errors(self.path):
            stream = self.path.open("ab", buffering=0)

        def append(chunk: bytes) -> None:
            rest = memoryview(chunk)
            with disk_errors(self.path):
                while rest:
                    rest = rest[stream.write(rest) :]

        with stream:
            yield append


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk, which end a transfer, into DataError; those of the network only end an attempt."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}; what has arrived is kept") from error
