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

from fewshot_audio.data.download.archive_errors import RefusedArchive

CHUNK = 1 << 20
SMALL = 16 << 20  # an archive may always unpack to this much: the ratio says little about tiny ones
LARGEST_HEADER = 1 << 20  # bytes before a member of a tar: tarfile reads them at once, however many there are
LARGEST_DIRECTORY = 32 << 20  # bytes of a zip's list of members, which zipfile reads at once: about 300,000 members
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others in pieces of any size


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive; ``open`` gives a file's content."""

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class OpenArchive:
    """An archive that can be read.

    Attributes:
        members: in the order of the archive; each is to be read before the next.
        is_listed: whether the members can be gone through without unpacking any.
    """

    members: Iterator[Member]
    is_listed: bool


@contextmanager
def open_archive(archive: Path, max_bytes: int) -> Iterator[OpenArchive]:
    """Open an archive whose content has at most ``max_bytes`` bytes.

    Raises:
        RefusedArchive: a member is a link, a device or encrypted, or the archive unpacks to more. Damaged archives
            raise the errors of the standard library.
    """
    if zipfile.is_zipfile(archive):
        with _BoundedFile(archive) as source, zipfile.ZipFile(source) as file:
            infos = file.infolist()
            if sum(info.file_size for info in infos) > max_bytes:
                raise RefusedArchive(f"{archive}: unpacks to more than {max_bytes:,} bytes, refused")
            yield OpenArchive(_zip_members(archive, file, infos), is_listed=True)
    else:
        with gzip.open(archive) as unpacked:
            stream = _BoundedStream(unpacked, archive, max_bytes)
            with tarfile.open(fileobj=stream, mode="r:") as file:
                yield OpenArchive(_tar_members(archive, file, stream), is_listed=False)


def _zip_members(archive: Path, file: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # 3: made on Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise RefusedArchive(f"{archive}: member {info.filename!r} is a link or a device, refused")
        if info.flag_bits & 1:
            raise RefusedArchive(f"{archive}: member {info.filename!r} is encrypted, refused")
        if info.compress_type not in METHODS:
            raise RefusedArchive(
                f"{archive}: member {info.filename!r} is packed by method {info.compress_type}, expected one of "
                f"{METHODS}, refused"
            )
        # zipfile cuts names at a zero byte: such a name is passed on as it is, to be refused
        name = info.orig_filename if "\0" in info.orig_filename else info.filename
        is_folder = info.is_dir() or kind == stat.S_IFDIR
        yield Member(name, info.file_size, is_folder, lambda info=info: file.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, file: tarfile.TarFile, stream: "_BoundedStream") -> Iterator[Member]:
    while True:
        stream.budget = LARGEST_HEADER
        info = file.next()
        if info is None:
            break
        file.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them: 300,000 take 300 MB
        file.pax_headers = {}  # those of the whole archive, which could grow without end
        if not (info.isfile() or info.isdir()) or info.issparse():
            raise RefusedArchive(f"{archive}: member {info.name!r} is a link, a device or a sparse file, refused")

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            stream.budget = info.size
            content = file.extractfile(info)
            assert content is not None  # it is a file
            return content

        yield Member(info.name, info.size, info.isdir(), read)
    if stream.last != bytes(tarfile.BLOCKSIZE):  # tarfile stops at a damaged header as at the end
        raise EOFError("it ends without the end mark")
    stream.read_to_end()


class _BoundedFile(io.BufferedReader):
    """A zip file of which only bounded pieces are read, and nothing before its begin."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        length = self._size - self.tell() if size is None or size < 0 else size
        if length > LARGEST_DIRECTORY:
            raise RefusedArchive(f"{self._path}: has a list of members of {length:,} bytes, refused")
        return super().read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and position < 0:
            raise zipfile.BadZipFile("a member lies before the begin of the file")
        return super().seek(position, whence)


class _BoundedStream(io.BufferedIOBase):
    """The unpacked stream that tarfile reads: forwards only, of bounded length, in bounded pieces.

    Attributes:
        budget: bytes that may be read until it is set anew; what is skipped does not count.
        last: the bytes of the last read.
    """

    def __init__(self, stream: gzip.GzipFile, archive: Path, max_bytes: int) -> None:
        self._stream = stream
        self._archive = archive
        # headers, names and padding are added to the contents: at most about as many bytes again, for tiny files
        self._max_bytes = 2 * max_bytes + SMALL
        self._position = 0
        self.budget = LARGEST_HEADER
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.budget:
            raise RefusedArchive(f"{self._archive}: has a header of {size} bytes or more, refused")
        self.budget -= size
        self.last = self._read(size)
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._position:
            raise tarfile.ReadError("its members overlap")
        while self._position < position:
            if not self._read(min(CHUNK, position - self._position)):
                raise EOFError("it ends in the middle of a member")
        return position

    def read_to_end(self) -> None:
        """Read what follows, as gzip's checksum is at the very end."""
        while self._read(CHUNK):
            pass

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._max_bytes:
            raise RefusedArchive(f"{self._archive}: unpacks to more than {self._max_bytes:,} bytes, refused")
        return data
