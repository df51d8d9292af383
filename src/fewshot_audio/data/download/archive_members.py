"""The members of zip and tar.gz archives of strangers, one format like the other: no links, no bombs."""

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
def open_archive(archive: Path, allowed: int) -> Iterator[Iterator[Member]]:
    """Open an archive that may unpack to ``allowed`` bytes; yields its members.

    Raises DataError for members that are links, devices or encrypted and for archives that unpack to more; the
    standard library's errors for damaged ones.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            infos = opened.infolist()
            if sum(info.file_size for info in infos) > allowed:  # refused before anything is written
                raise DataError(f"{archive}: unpacks to more than {allowed:,} bytes, refused")
            yield _zip_members(archive, opened, infos)
    else:
        with gzip.open(archive) as stream:
            unpacked = _BoundedStream(stream, archive, allowed)
            with tarfile.open(fileobj=unpacked, mode="r:") as opened:
                yield _tar_members(archive, opened, unpacked)


def _zip_members(archive: Path, opened: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # 3: made on Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: member {info.filename!r} is a link or a device, refused")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: member {info.filename!r} is encrypted, refused")
        yield Member(info.filename, info.file_size, info.is_dir(), lambda info=info: opened.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, opened: tarfile.TarFile, unpacked: "_BoundedStream") -> Iterator[Member]:
    while (info := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # kept by tarfile: 300,000 of them are 300 MB
        if not (info.isfile() or info.isdir()) or info.issparse():
            raise DataError(f"{archive}: member {info.name!r} is a link, a device or a sparse file, refused")

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            stream = opened.extractfile(info)
            assert stream is not None  # it is a file
            return stream

        yield Member(info.name, info.size, info.isdir(), read)
    if unpacked.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header for the end
        raise EOFError("it ends without the end mark")
    while unpacked.read(CHUNK):  # to the end, where gzip's check stands
        pass


class _BoundedStream(io.BufferedIOBase):
    """What tarfile reads: an unpacked stream, forwards only, of bounded length and in bounded pieces."""

    def __init__(self, stream: gzip.GzipFile, archive: Path, allowed: int) -> None:
        self._stream = stream
        self._archive = archive
        # headers, names and padding come on top of the contents: at most about as much again, for tiny files
        self._allowed = 2 * allowed + SMALL
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_READ:
            raise DataError(f"{self._archive}: has a header of {size} bytes, refused")
        self.last = self._stream.read(size)
        self._position += len(self.last)
        if self._position > self._allowed:
            raise DataError(f"{self._archive}: unpacks to more than {self._allowed:,} bytes, refused")
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._position:
            raise tarfile.ReadError("its members overlap")
        while self._position < position:
            if not self.read(min(CHUNK, position - self._position)):
                raise EOFError("it ends in the middle of a member")
        return position
