"""Extract untrusted archives: nothing outside the folder, no links, no archive bombs, all or nothing."""

import gzip
import hashlib
import os
import re
import shutil
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.data.download.archive_members import CHUNK, SMALL, Member, open_archive
from fewshot_audio.errors import DataError

FILES = "files"  # folder of the unpacked files during an extraction
PART = "part"  # the file that is being written, beside it
DAMAGE = (  # what zipfile, tarfile, gzip and zlib raise for damaged archives and for files that are not archives
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
    the process is killed, the next call keeps the complete files. Modes and owners are not restored.

    Args:
        archive: the file.
        target: the folder to make.
        limits: how much the archive may unpack to.
        on_bytes: called with the number of bytes unpacked so far.

    Raises:
        DataError: the archive is damaged or encrypted, unpacks to more than ``limits``, or has a member that is
            absolute, leads outside, is a link or a device, or would overwrite another one (also on disks that ignore
            case). Nothing of a refused archive remains.
    """
    partial = _partial(archive, target)
    for stale in _partials(target):
        if stale != partial or target.exists():
            shutil.rmtree(stale)
    if target.exists():
        raise DataError(f"{target} exists already; expected to create it from {archive}")
    max_bytes = min(limits.unpacked, max(SMALL, limits.ratio * archive.stat().st_size))
    with _explained_errors(archive, partial):
        (partial / FILES).mkdir(parents=True, exist_ok=True)
        with open_archive(archive, max_bytes) as members:
            for member, path, total in _check_members(members, archive, partial / FILES, max_bytes, limits.members):
                if not (path.is_file() and path.stat().st_size == member.size):
                    _write(member, path, partial / PART)
                on_bytes(total)
        files = partial / FILES
        inner = files / target.name
        (inner if list(files.iterdir()) == [inner] and inner.is_dir() else files).rename(target)
        shutil.rmtree(partial)


def unpacked_so_far(target: Path) -> int:
    """Return the bytes on disk of an interrupted extraction into ``target``."""
    return sum(
        (Path(folder) / file).stat().st_size
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
    return [entry for entry in target.parent.iterdir() if pattern.fullmatch(entry.name) and not entry.is_symlink()]


@contextmanager
def _explained_errors(archive: Path, partial: Path) -> Iterator[None]:
    """Raise DataError for whatever is wrong with an archive, and remove what was extracted of it."""
    try:
        yield
    except DataError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except DAMAGE as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(
            f"{archive} is damaged, or not a zip or tar.gz archive ({error or type(error).__name__}); remove it to "
            "download it again"
        ) from error
    except OSError as error:
        raise DataError(
            f"{archive} cannot be extracted to {partial}: {error.strerror or error}; run the same command again to "
            "continue"
        ) from error


def _check_members(
    members: Iterator[Member], archive: Path, files: Path, max_bytes: int, max_members: int
) -> Iterator[tuple[Member, Path, int]]:
    """Refuse unsafe members and create the folders; yields each file, its path, and the bytes up to its end."""
    identities: set[str] = set()
    total = 0
    for number, member in enumerate(members, 1):
        if number > max_members:
            raise DataError(f"{archive}: has more than {max_members:,} members, refused")
        parts = _parts(archive, member.name)
        if not parts or parts[0] == "__MACOSX":  # metadata that macOS adds
            continue
        path = files.joinpath(*parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        identity = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if identity in identities:
            raise DataError(f"{archive}: {member.name!r} is there twice (or in upper and lower case), refused")
        identities.add(identity)
        total += member.size
        if total > max_bytes:
            raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes, refused")
        yield member, path, total


def _parts(archive: Path, name: str) -> list[str]:
    """Split a member's name into folders and file. Raises DataError if it leads outside the archive's folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or ".." in parts:
        raise DataError(f"{archive}: member {name!r} leads outside the archive's folder, refused")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise DataError(f"{archive}: member {name!r} has control characters in its name, refused")
    return parts


def _write(member: Member, path: Path, part: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, part.open("wb") as stream:
        shutil.copyfileobj(source, stream, CHUNK)
        written = stream.tell()
    if written != member.size:
        raise EOFError(f"{member.name!r} has {written:,} bytes, but its header says {member.size:,}")
    part.replace(path)  # a file under its own name is complete
