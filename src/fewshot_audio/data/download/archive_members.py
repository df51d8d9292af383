"""The members of untrusted zip and tar.gz archives behind one interface: no links, no archive bombs."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fewshot_audio.errors import DataError

CHUNK = 1 << 20
SMALL = 16 << 20  # an archive may always unpack to this much: the ratio says little about tiny ones
LARGEST_READ = 16 << 20  # tarfile reads the names of a member at once, however long the archive says they are


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive; ``open`` gives a file's content."""

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]


@contextmanager
def open_archive(archive: Path, max_bytes: int) -> Iterator[Iterator[Member]]:
    """Open an archive whose content has at most ``max_bytes`` bytes; yields its members.

    Raises:
        DataError: a member is a link, a device or encrypted, or the archive unpacks to more. Damaged archives raise the
            errors of the standard library.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            infos = file.infolist()
            if sum(info.file_size for info in infos) > max_bytes:  # refused before anything is written
                raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes, refused")
            yield _zip_members(archive, file, infos)
    else:
        with gzip.open(archive) as unbounded:
            stream = _BoundedStream(unbounded, archive, max_bytes)
            with tarfile.open(fileobj=stream, mode="r:") as file:
                yield _tar_members(archive, file, stream)


def _zip_members(archive: Path, file: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # 3: made on Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: member {info.filename!r} is a link or a device, refused")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: member {info.filename!r} is encrypted, refused")
        yield Member(info.filename, info.file_size, info.is_dir(), lambda info=info: file.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, file: tarfile.TarFile, stream: "_BoundedStream") -> Iterator[Member]:
    while (info := file.next()) is not None:
        file.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them: 300,000 take 300 MB
        if not (info.isfile() or info.isdir()) or info.issparse():
            raise DataError(f"{archive}: member {info.name!r} is a link, a device or a sparse file, refused")

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            content = file.extractfile(info)
            assert content is not None  # it is a file
            return content

        yield Member(info.name, info.size, info.isdir(), read)
    if stream.last != bytes(tarfile.BLOCKSIZE):  # tarfile stops at a damaged header as at the end
        raise EOFError("it ends without the end mark")
    while stream.read(CHUNK):  # to the end, where gzip has its checksum
        pass


class _BoundedStream(io.BufferedIOBase):
    """The unpacked stream that tarfile reads: forwards only, of bounded length, in bounded pieces."""

    def __init__(self, stream: gzip.GzipFile, archive: Path, max_bytes: int) -> None:
        self._stream = stream
        self._archive = archive
        # headers, names and padding are added to the contents: at most about as many bytes again, for tiny files
        self._max_bytes = 2 * max_bytes + SMALL
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_READ:
            raise DataError(f"{self._archive}: has a header of {size} bytes, refused")
        self.last = self._stream.read(size)
        self._position += len(self.last)
        if self._position > self._max_bytes:
            raise DataError(f"{self._archive}: unpacks to more than {self._max_bytes:,} bytes, refused")
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._position:
            raise tarfile.ReadError("its members overlap")
        while self._position < position:
            if not self.read(min(CHUNK, position - self._position)):
                raise EOFError("it ends in the middle of a member")
        return position
