"""Replace a folder so that a reader finds either the old one or the new one, complete."""

import ctypes
import os
import shutil
import tempfile
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


def exchange(first: Path, second: Path) -> bool:
    """Let two paths change places in one step, by Linux's ``renameat2``; False if the system cannot do it."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return (
        rename is not None and rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0
    )


def replace_folder(new: Path, target: Path) -> None:
    """Move a folder to ``target``; after an exchange, the former one is at ``new`` and the caller removes it.

    If the system cannot exchange folders, the former one is moved aside, and moved back if the replacement fails.
    """
    if not target.exists() or is_empty_folder(target):
        new.replace(target)
    elif not exchange(new, target):
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name[:50]}.", suffix=".tmp", dir=target.parent)) / "old"
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        finally:
            shutil.rmtree(aside.parent, ignore_errors=True)


def is_empty_folder(path: Path) -> bool:
    """Whether a path is a folder that holds nothing."""
    return path.is_dir() and not any(path.iterdir())
