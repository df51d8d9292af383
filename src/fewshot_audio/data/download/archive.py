"""Archives of strangers into folders: nothing outside the folder, no links, no bombs, all or nothing."""

import gzip
import hashlib
import io
import os
import re
import shutil
import stat
import struct
import tarfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fewshot_audio.data.download.fetch import Stopped
from fewshot_audio.errors import DataError

FILES = "files"  # in the room of an extraction: what is unpacked
PART = "part"  # ... and the file at hand
CHUNK = 1 << 20
SMALL = 16 << 20  # an archive may always unpack to this much: the ratio says little about tiny ones
LARGEST_READ = 16 << 20  # tarfile reads the names of a member at once, however long the archive says they are
DAMAGE = (  # what zipfile, tarfile, gzip and zlib raise on bytes that are no archive, or no longer
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # zipfile: compression methods that it does not know
    ValueError,
    OverflowError,
    LookupError,
)


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to: bytes, times its own size, and members."""

    unpacked: int
    ratio: int = 100
    members: int = 1_000_000


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]


def extract(
    archive: Path,
    target: Path,
    limits: Limits,
    *,
    moved: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Unpack a zip or tar.gz archive into the folder ``target``, which must not exist yet.

    When the archive holds one folder named like ``target``, that folder becomes ``target``; otherwise everything in it
    does. Files are written beside ``target`` and moved there in the end, so that ``target`` is whole or absent; after
    a kill, a further call keeps the files that are whole. Modes and owners are not taken over.
    ``moved`` hears how many bytes are unpacked; ``stop`` raises Stopped.

    Raises DataError when the archive is damaged or encrypted, unpacks to more than ``limits``, or has a member that
    is absolute, leads outside, is a link or a device, or would overwrite another one (on any disk, so also when two
    names differ by case only). Nothing of a refused archive stays.
    """
    room = _room(archive, target)
    for stale in _rooms(target):
        if stale != room or target.exists():
            shutil.rmtree(stale)
    if target.exists():
        raise DataError(f"{target} exists already; expected to create it from {archive}")
    allowed = min(limits.unpacked, max(SMALL, limits.ratio * archive.stat().st_size))
    with _refusals(archive, room):
        (room / FILES).mkdir(parents=True, exist_ok=True)
        with _opened(archive, allowed) as members:
            _unpack(members, archive, room, allowed, limits.members, moved, stop or threading.Event())
        files = room / FILES
        inner = files / target.name
        (inner if list(files.iterdir()) == [inner] and inner.is_dir() else files).rename(target)
        shutil.rmtree(room)


def unpacked_so_far(target: Path) -> int:
    """Bytes on disk of an extraction into ``target`` that was interrupted."""
    return sum(
        (Path(folder) / file).stat().st_size
        for room in _rooms(target)
        for folder, _, files in os.walk(room)
        for file in files
    )


def _room(archive: Path, target: Path) -> Path:
    """Where files are collected; another archive, or another version of this one, has another room."""
    status = archive.stat()
    identity = hashlib.sha256(f"{archive.name} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    return target.with_name(f".{target.name}.{identity}.partial")


def _rooms(target: Path) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.partial")
    if not target.parent.is_dir():
        return []
    return [entry for entry in target.parent.iterdir() if pattern.fullmatch(entry.name) and not entry.is_symlink()]


@contextmanager
def _refusals(archive: Path, room: Path) -> Iterator[None]:
    """Turn what is wrong with an archive into a DataError, and leave nothing of it."""
    try:
        yield
    except DataError:
        shutil.rmtree(room, ignore_errors=True)
        raise
    except DAMAGE as error:
        shutil.rmtree(room, ignore_errors=True)
        raise DataError(
            f"{archive} is damaged, or no zip or tar.gz archive ({error or type(error).__name__}); remove it to "
            "download it again"
        ) from error
    except OSError as error:
        raise DataError(
            f"{archive} cannot be extracted to {room}: {error.strerror or error}; run the same command again to go on"
        ) from error


def _unpack(
    members: Iterator[_Member],
    archive: Path,
    room: Path,
    allowed: int,
    most_members: int,
    moved: Callable[[int], None],
    stop: threading.Event,
) -> None:
    taken: set[str] = set()
    total = 0
    for number, member in enumerate(members, 1):
        if stop.is_set():
            raise Stopped
        if number > most_members:
            raise DataError(f"{archive}: has more than {most_members:,} members, refused")
        parts = _parts(archive, member.name)
        if not parts or parts[0] == "__MACOSX":  # the macOS Finder's notes about the files, no files
            continue
        path = room.joinpath(FILES, *parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        identity = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if identity in taken:
            raise DataError(f"{archive}: {member.name!r} is there twice (or in upper and lower case), refused")
        taken.add(identity)
        total += member.size
        if total > allowed:
            raise DataError(f"{archive}: unpacks to more than {allowed:,} bytes, refused")
        if not (path.is_file() and path.stat().st_size == member.size):
            _write(member, path, room / PART)
        moved(total)


def _parts(archive: Path, name: str) -> list[str]:
    """The folders and the file of a member's name. Raises DataError when it would lie elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or ".." in parts:
        raise DataError(f"{archive}: member {name!r} leads outside the archive's folder, refused")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise DataError(f"{archive}: member {name!r} has control characters in its name, refused")
    return parts


def _write(member: _Member, path: Path, part: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, part.open("wb") as stream:
        shutil.copyfileobj(source, stream, CHUNK)
        written = stream.tell()
    if written != member.size:
        raise EOFError(f"{member.name!r} has {written:,} bytes, announced were {member.size:,}")
    part.replace(path)  # a file under its own name is whole


@contextmanager
def _opened(archive: Path, allowed: int) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            infos = opened.infolist()
            if sum(info.file_size for info in infos) > allowed:  # known before anything is written
                raise DataError(f"{archive}: unpacks to more than {allowed:,} bytes, refused")
            yield _zip_members(archive, opened, infos)
    else:
        with gzip.open(archive) as stream:
            unpacked = _Unpacked(stream, archive, allowed)
            with tarfile.open(fileobj=unpacked, mode="r:") as opened:
                yield _tar_members(archive, opened, unpacked)


def _zip_members(archive: Path, opened: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[_Member]:
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0  # 3: made on Unix
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: member {info.filename!r} is a link or a device, refused")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: member {info.filename!r} is encrypted, refused")
        yield _Member(info.filename, info.file_size, info.is_dir(), lambda info=info: opened.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, opened: tarfile.TarFile, unpacked: "_Unpacked") -> Iterator[_Member]:
    while (info := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # kept by tarfile: 300,000 of them are 300 MB
        if not (info.isfile() or info.isdir()) or info.issparse():
            raise DataError(f"{archive}: member {info.name!r} is a link, a device or a sparse file, refused")

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            stream = opened.extractfile(info)
            assert stream is not None  # it is a file
            return stream

        yield _Member(info.name, info.size, info.isdir(), read)
    if unpacked.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header for the end
        raise EOFError("it ends without the end mark")
    while unpacked.read(CHUNK):  # to the end, where gzip's check stands
        pass


class _Unpacked(io.BufferedIOBase):
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
