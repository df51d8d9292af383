"""Extract untrusted archives: nothing outside the folder, no links, no archive bombs, all or nothing."""

import errno
import gzip
import hashlib
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.data.download.archive_errors import DamagedArchive, RefusedArchive
from fewshot_audio.data.download.archive_members import CHUNK, SMALL, Member, open_archive
from fewshot_audio.data.download.member_names import MemberNames
from fewshot_audio.errors import DataError, WriteError

FILES = "files"  # folder of the unpacked files during an extraction
PART = "part"  # the file that is being written, beside it
DAMAGE = (  # what zipfile, tarfile, gzip and zlib raise for damaged archives and for files that are not archives
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # zipfile: features that it does not know
    RecursionError,  # tarfile: a thousand headers before one member
    ValueError,
    OverflowError,
    LookupError,
)


@dataclass(frozen=True)
class UnpackLimits:
    """How much an archive may unpack to.

    Attributes:
        unpacked: bytes.
        ratio: bytes as a multiple of the archive's size.
        members: number of files and folders.
    """

    unpacked: int
    ratio: int = 100
    members: int = 1_000_000


def extract(
    archive: Path, target: Path, limits: UnpackLimits, *, on_bytes: Callable[[int], None] = lambda _: None
) -> None:
    """Unpack a zip or tar.gz archive into the folder ``target``, which must not exist yet.

    If the archive holds one folder named like ``target``, that folder becomes ``target``; otherwise everything in it
    does. Files are written beside ``target`` and moved there in the end, so that ``target`` is complete or absent; if
    the process is killed or the disk is full, the next call keeps the complete files. Modes and owners are not
    restored.

    All members of a zip archive are checked before anything is written. A tar.gz archive has no list of its members:
    to go through them takes three quarters of the time of unpacking, so each is checked before it is written.

    Args:
        archive: the file.
        target: the folder to make.
        limits: how much the archive may unpack to.
        on_bytes: called with the number of bytes unpacked so far.

    Raises:
        DamagedArchive: the archive is damaged, or the file is no archive. Nothing of it remains.
        RefusedArchive: the archive is encrypted or packed by another method, unpacks to more than ``limits``, or has a
            member that is a link or a device, or whose name is refused (see ``MemberNames``). Nothing of it remains.
        DataError: ``target`` exists.
        WriteError: the disk fails.
    """
    partial = _partial(archive, target)
    with _explained_errors(archive, target, partial):
        for stale in _partials(target):
            if stale != partial or os.path.lexists(target) or not _is_own(stale):
                _remove(stale)
        if os.path.lexists(target):
            raise DataError(f"{target} exists already; expected to create it from {archive}")
        max_bytes = min(limits.unpacked, max(SMALL, limits.ratio * archive.stat().st_size))
        (partial / FILES).mkdir(parents=True, exist_ok=True)
        with open_archive(archive, max_bytes) as contents:
            steps = _check_members(contents.members, archive, max_bytes, limits.members)
            for member, parts, total in list(steps) if contents.is_listed else steps:
                _unpack(member, (partial / FILES).joinpath(*parts), partial / PART)
                on_bytes(total)
        files = partial / FILES
        inner = files / target.name
        (inner if list(files.iterdir()) == [inner] and inner.is_dir() else files).rename(target)
        shutil.rmtree(partial)


def unpacked_so_far(target: Path) -> int:
    """Return the bytes on disk of an interrupted extraction into ``target``."""
    return sum(
        (Path(folder) / file).lstat().st_size
        for partial in _partials(target)
        for folder, _, files in os.walk(partial)
        for file in files
    )


def _partial(archive: Path, target: Path) -> Path:
    """Return the folder of an extraction; every archive, and every version of it, has its own."""
    status = archive.stat()
    identity = hashlib.sha256(f"{archive.name} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    return target.with_name(f".{target.name}.{identity}.partial")


def _partials(target: Path) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.partial")
    if not target.parent.is_dir():
        return []
    return [entry for entry in target.parent.iterdir() if pattern.fullmatch(entry.name)]


def _is_own(partial: Path) -> bool:
    """Whether a folder holds what an extraction makes: folders and files of one name each, no links."""
    if partial.is_symlink() or not partial.is_dir():
        return False
    for folder, folders, files in os.walk(partial):
        if any((Path(folder) / name).is_symlink() for name in folders):
            return False
        for name in files:
            status = (Path(folder) / name).lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                return False
    return True


def _remove(partial: Path) -> None:
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial)
    else:
        partial.unlink()


@contextmanager
def _explained_errors(archive: Path, target: Path, partial: Path) -> Iterator[None]:
    """Raise DataError for whatever is wrong with an archive, and remove what was extracted of it."""
    try:
        yield
    except RefusedArchive:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except DAMAGE as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DamagedArchive(
            f"{archive} is damaged, or not a zip or tar.gz archive ({error or type(error).__name__})"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):  # the disk takes less than MemberNames allows
            shutil.rmtree(partial, ignore_errors=True)
            raise RefusedArchive(
                f"{archive}: a member's name is not possible in {target.parent} ({error.strerror})"
            ) from error
        raise WriteError(
            f"{target}: cannot be made of {archive}: {error.strerror or error}; what is unpacked so far is kept in "
            f"{partial}: run the same command again to continue"
        ) from error


def _check_members(
    members: Iterator[Member], archive: Path, max_bytes: int, max_members: int
) -> Iterator[tuple[Member, tuple[str, ...], int]]:
    """Refuse unsafe members; yields each one, its folders and name, and the bytes of the files up to its end."""
    names = MemberNames(archive, max_members)
    total = 0
    for number, member in enumerate(members, 1):
        if number > max_members:
            raise RefusedArchive(f"{archive}: has more than {max_members:,} members, refused")
        parts = names.add(member.name, member.is_folder)
        if not parts or parts[0] == "__MACOSX":  # metadata that macOS adds
            continue
        if not member.is_folder:
            total += member.size
        if total > max_bytes:
            raise RefusedArchive(f"{archive}: unpacks to more than {max_bytes:,} bytes, refused")
        yield member, parts, total


def _unpack(member: Member, path: Path, part: Path) -> None:
    """Make a folder, or a file that is not there yet."""
    if member.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    if path.is_file() and path.stat().st_size == member.size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, part.open("wb") as stream:
        shutil.copyfileobj(source, stream, CHUNK)
        written = stream.tell()
    if written != member.size:
        raise EOFError(f"{member.name!r} has {written:,} bytes, but its header says {member.size:,}")
    part.replace(path)  # a file under its own name is complete
