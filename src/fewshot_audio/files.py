"""Atomic writes: a reader sees the old file or the new one, never a half-written one."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically; missing parent folders are made.

    Args:
        path: the file, replaced if it exists.
        write: writes the content to the binary stream of a temporary file in the same folder, which then replaces
            ``path``. If it raises, the temporary file is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
        Path(name).chmod(0o644)  # mkstemp makes private files, but results are meant to be read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda stream: stream.write(data))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically: indented, final newline, no NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def locked(path: Path, in_use: Exception | None = None) -> Iterator[None]:
    """Hold a lock file, which the system releases if the process is killed.

    Args:
        path: the lock file; missing parent folders are made.
        in_use: what to raise if another process holds it; None waits for that process.
    """
    from filelock import FileLock, Timeout  # here, because whatever writes a file imports this module

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path).acquire(blocking=in_use is None)
    except Timeout as error:
        assert in_use is not None
        raise in_use from error
    with lock:
        yield


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed writes left in ``folder`` and below; no other process may be writing there."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
