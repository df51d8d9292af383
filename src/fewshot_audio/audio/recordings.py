"""List recordings in folders: the one way in which every command and source finds them."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.errors import DataError, plural

SYSTEM_NAMES = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs.db", "desktop.ini"}
)
"""What systems and network drives put into folders; nobody's recordings."""

NO_RECORDING = (Reason.NOT_AUDIO, Reason.LINK_LOOP)


class Entry(NamedTuple):
    """A file below a folder, or a folder that cannot be searched.

    Attributes:
        name: its path below the folder, with forward slashes.
        path: its path.
        problem: why it is no recording, None if it may be one.
    """

    name: str
    path: Path
    problem: Rejected | None


def walk(top: Path) -> Iterator[Entry]:
    """Yield every file below a folder, in the order of the paths.

    Links are followed, but each folder is visited only once. Hidden files and folders (names that begin with a dot) and
    those of ``SYSTEM_NAMES`` are left out.
    """
    visited: set[tuple[int, int]] = set()
    pending: list[tuple[str, str | os.DirEntry[str]]] = [("", os.fspath(top))]
    while pending:
        name, entry = pending.pop()
        if not isinstance(entry, str) and not is_folder(entry):
            yield Entry(name, Path(entry.path), _problem(entry))
            continue
        path = os.fspath(entry)
        try:
            status = os.stat(path)  # noqa: PTH116 - strings, 300,000 times
            if (status.st_dev, status.st_ino) in visited:
                yield Entry(name, Path(path), Rejected(Reason.LINK_LOOP, "a link to a folder that was already visited"))
                continue
            visited.add((status.st_dev, status.st_ino))
            prefix = f"{name}/" if name else ""
            pending += [(prefix + below.name, below) for below in reversed(list_folder(path))]
        except OSError as error:
            reason = Rejected.from_os_error(error).reason
            yield Entry(name, Path(path), Rejected(reason, f"folder: {error.strerror}"))


def list_folder(folder: str | Path) -> list["os.DirEntry[str]"]:
    """List a folder by name, without hidden and system entries. Raises OSError."""
    with os.scandir(folder) as entries:
        own = (entry for entry in entries if not entry.name.startswith(".") and entry.name not in SYSTEM_NAMES)
        return sorted(own, key=lambda entry: entry.name)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def class_of(folder_name: str) -> str:
    """The class that a folder stands for: composed, so that a name typed on another system is the same class."""
    return unicodedata.normalize("NFC", folder_name)


def list_recordings(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """List the files among ``paths``, and the sound files at any depth in the folders among them.

    A file that is named itself need not exist, nor have the extension of a sound file: reading it reports what is
    wrong. So it does for a folder that cannot be read, and for a broken link.

    Returns:
        The recordings in order, without duplicates; and the number of other files in the folders.

    Raises:
        DataError: a folder holds no sound file.
    """
    recordings: dict[Path, None] = {}
    others = 0
    for path in paths:
        if not path.is_dir():
            recordings[path] = None
            continue
        entries = list(walk(path))
        sounds = [entry.path for entry in entries if entry.problem is None or entry.problem.reason not in NO_RECORDING]
        other_files = sum(entry.problem is not None and entry.problem.reason == Reason.NOT_AUDIO for entry in entries)
        if not sounds:
            raise DataError(f"{path}: no sound files in it ({plural(other_files, 'other file')})")
        others += other_files
        recordings |= dict.fromkeys(sounds)
    return list(recordings), others


def _problem(entry: "os.DirEntry[str]") -> Rejected | None:
    extension = os.path.splitext(entry.name)[1]  # noqa: PTH122 - strings, 300,000 times
    if extension.lower() not in AUDIO_EXTENSIONS:
        return Rejected(Reason.NOT_AUDIO, f"extension {extension!r}")
    try:
        if entry.is_file():
            return None
    except OSError:
        pass
    if entry.is_symlink():
        return Rejected(Reason.MISSING, "a broken link")
    return Rejected(Reason.UNREADABLE, "not a regular file")
