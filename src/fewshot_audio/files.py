"""Atomic writes: a reader sees the old file or the new one, never a half-written one.

A lock keeps a second writer out.
"""

import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from fewshot_audio.errors import DataError, FewShotError, WriteError

TEMPORARY = re.compile(r"\.fewshot-audio-[a-z0-9_]{8}\.tmp")  # what unfinished writes are called; nobody else's files


class _Stream(io.BufferedIOBase):
    """A binary file that keeps the first error of the disk.

    Libraries raise errors of their own instead (torch, safetensors), without the reason (numpy), or only print it
    (libsndfile). It is no ``io.BufferedWriter``, which numpy would write past.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        with self._kept():
            return self._file.write(data)

    def flush(self) -> None:
        with self._kept():
            self._file.flush()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._kept():  # writes what is buffered
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def sync(self) -> None:
        with self._kept():
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._kept():
            self._file.close()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            raise


def write_atomic(path: Path, write: Callable[[IO[bytes]], object], *, sync: bool = False) -> None:
    """Write a file atomically; missing parent folders are made.

    Args:
        path: the file, replaced if it exists.
        write: writes the content to the binary stream of a temporary file in the same folder, which then replaces
            ``path``. If it raises, the temporary file is removed and ``path`` stays as it was.
        sync: whether the content is on the disk, not only with the operating system, before it replaces ``path``.

    Raises:
        WriteError: the file cannot be written, whatever ``write`` made of that.
    """
    with explained_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".fewshot-audio-", suffix=".tmp", dir=path.parent)
        try:
            stream = _Stream(descriptor)
            try:
                write(cast(IO[bytes], stream))
                if sync:
                    stream.sync()
                stream.close()
            except BaseException as error:
                with suppress(OSError):
                    stream.close()
                if stream.error is not None and isinstance(error, Exception):
                    raise stream.error from error
                raise
            if stream.error is not None:  # a library has not passed it on
                raise stream.error
            Path(name).chmod(0o644)  # mkstemp makes private files, but results are meant to be read
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def nearest_folder(path: Path) -> Path:
    """The nearest folder above a path that exists, as far as this user may look."""
    # Path.exists raises PermissionError for what is in somebody's private folder.
    return next((folder for folder in path.parents if os.path.exists(folder)), path.parent)  # noqa: PTH110


def read_bounded(path: Path, largest: int, error: type[FewShotError] = DataError, expected: str = "") -> bytes:
    """Read a file that anybody may have written; one that is too large is refused unread.

    Args:
        path: the file.
        largest: bytes that it may have.
        error: what is raised.
        expected: what the file should be, for the message about its size.

    Raises:
        FewShotError: of type ``error``: it cannot be read, or has more bytes; names the file.
    """
    try:
        with path.open("rb") as stream:
            is_larger = os.fstat(stream.fileno()).st_size > largest  # of a pipe the size is not known before
            content = b"" if is_larger else stream.read(largest + 1)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    if is_larger or len(content) > largest:
        raise error(f"{path}: more than {largest} bytes" + (f", expected {expected}" if expected else ""))
    return content


@contextmanager
def explained_writes(path: Path) -> Iterator[None]:
    """Turn errors of the disk into WriteError, which names ``path`` and the reason."""
    try:
        yield
    except OSError as error:
        parent = nearest_folder(path)
        if not parent.is_dir():
            reason = f"{parent} is a file, expected a folder"
        elif isinstance(error, IsADirectoryError) and path.is_dir():
            reason = "a folder is there, expected a file"
        else:
            reason = error.strerror or str(error)
        unchanged = "; what was there before is unchanged" if os.path.isfile(path) else ""  # noqa: PTH113
        raise WriteError(f"{path}: cannot be written: {reason}{unchanged}") from error


def check_writable(path: Path) -> None:
    """Check before long work that a file can be written at its end; nothing that exists is changed or left behind.

    A byte is written to a temporary file in the folder of ``path``, or in the nearest one above it that exists.

    Raises:
        WriteError: the file cannot be written there, or ``path`` is a folder or a device.
    """
    with explained_writes(path):
        if path.is_dir():
            raise IsADirectoryError
        if path.exists() and not path.is_file():
            raise WriteError(f"{path}: cannot be written: it is a device or a pipe, expected a file")
        folder = nearest_folder(path)
        descriptor, name = tempfile.mkstemp(prefix=".fewshot-audio-", suffix=".tmp", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(b"0")
        finally:
            Path(name).unlink()


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda stream: stream.write(data), sync=sync)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode(), sync=sync)


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
    """Write a JSON document atomically: indented, final newline, no NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", sync=sync)


@contextmanager
def locked(path: Path, in_use: Exception | None = None, *, seconds: float = 0) -> Iterator[None]:
    """Hold a lock file, which the system releases if the process is killed.

    Args:
        path: the lock file; missing parent folders are made.
        in_use: what to raise if another process holds it; None waits for that process.
        seconds: how long to wait before ``in_use`` is raised.

    Raises:
        WriteError: the lock file cannot be made.
    """
    from filelock import FileLock, Timeout  # here, because whatever writes a file imports this module

    with explained_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    with explained_writes(path):
        try:
            lock.acquire(timeout=-1 if in_use is None else seconds, poll_interval=0.02)
        except Timeout as error:  # an OSError too, but not one of the disk
            assert in_use is not None
            raise in_use from error
    try:
        yield
    finally:
        lock.release()


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed writes left in ``folder`` and below; no other process may be writing there."""
    for path in folder.rglob(".fewshot-audio-*.tmp"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
