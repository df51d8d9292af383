"""A bundle's folder: the lock of its writers, the state that it holds, and the files in it that are ours."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.errors import DataError
from fewshot_audio.files import TEMPORARY, locked
from fewshot_audio.recognition.bundle import (
    BUNDLE_FILE,
    LOCK_FILE,
    OWN_FILE,
    ROLES,
    BundleChanged,
    former_file,
    is_bundle,
)

LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class BundleState:
    """What a bundle's folder held when it was read or written.

    Attributes:
        digest: SHA-256 of ``recognizer.json``, which has those of all other files.
        revision: how many times the bundle has been written.
        model: SHA-256 of the network's weights.
    """

    digest: str
    revision: int
    model: str


def current_digest(folder: Path) -> str | None:
    """SHA-256 of ``recognizer.json``; None if there is none."""
    try:
        return hashlib.sha256((folder / BUNDLE_FILE).read_bytes()).hexdigest()
    except OSError:
        return None


@contextmanager
def writing(folder: Path, expected: BundleState | None, *, is_new: bool) -> Iterator[int]:
    """Hold the lock of a bundle's writers; yields the revision that the folder holds now, 0 if it holds no bundle.

    What killed writers left is removed first. If the block fails, a folder that was made for it is removed again.

    Args:
        folder: made if it is missing.
        expected: the state that the caller has seen there; None replaces any.
        is_new: the caller has seen that there is none.

    Raises:
        DataError: another program holds the lock for ``LOCK_SECONDS``, or ``folder`` is neither a bundle nor empty.
        BundleChanged: the folder holds another state than ``expected``, or one although ``is_new``.
        WriteError: the folder cannot be made.
    """
    made_here = not folder.exists()
    in_use = DataError(f"{folder}: another program is writing this recognizer; waited {LOCK_SECONDS:g} s for its end")
    try:
        if folder.exists() and not is_bundle(folder) and not _is_empty(folder):
            raise DataError(f"{folder} exists and is no recognizer: it will not be replaced")
        with locked(folder / LOCK_FILE, in_use, seconds=LOCK_SECONDS):
            digest = current_digest(folder)
            if expected is not None and digest not in (None, expected.digest):
                raise BundleChanged(
                    f"{folder}: another program has changed this recognizer since it was read: read it again"
                )
            if is_new and digest is not None:
                raise BundleChanged(f"{folder}: another program has made a recognizer there meanwhile")
            _remove_leftovers(folder)
            yield _revision(folder)
    except BaseException:
        if made_here and folder.is_dir() and not is_bundle(folder) and _is_empty(folder):
            (folder / LOCK_FILE).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        raise


def superseded_files(folder: Path, current: set[str]) -> list[Path]:
    """Files of tensors in the folder that the current state does not need: those with names of our own patterns.

    The names of format 1 are common ones, so that they are ours only if the folder's description, which is about to be
    replaced, is of that format.
    """
    former = {former_file(role) for role in ROLES} if _format(folder) == 1 else set()
    return [
        path
        for path in folder.iterdir()
        if (OWN_FILE.fullmatch(path.name) or path.name in former) and path.name not in current
    ]


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what unfinished writes of bundles leave."""
    return folder.is_dir() and all(
        path.name == LOCK_FILE or TEMPORARY.fullmatch(path.name) or OWN_FILE.fullmatch(path.name)
        for path in folder.iterdir()
    )


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in the folder, and beside it in versions that wrote whole folders there."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    former = re.compile(rf"\.{re.escape(folder.name[:50])}\.[a-z0-9_]{{8}}\.tmp")
    ours = {BUNDLE_FILE, *(former_file(role) for role in ROLES)}
    for other in folder.parent.glob(".*.tmp"):
        if not former.fullmatch(other.name) or other.is_symlink() or not other.is_dir():
            continue
        files = list(other.iterdir())
        if all(path.is_file() and (path.name in ours or re.fullmatch(r"\.\w{8}\.tmp", path.name)) for path in files):
            with suppress(OSError):
                for path in files:
                    path.unlink()
                other.rmdir()


def _value(folder: Path, key: str) -> int:
    """A number of the folder's description; 0 if there is none or it cannot be read: it will be replaced."""
    try:
        value = json.loads((folder / BUNDLE_FILE).read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
    return value if isinstance(value, int) else 0


def _revision(folder: Path) -> int:
    return max(0, _value(folder, "revision"))


def _format(folder: Path) -> int:
    return _value(folder, "format")
