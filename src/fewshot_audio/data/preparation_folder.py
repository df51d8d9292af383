"""The dataset folder during preparation: locked, cleared of what does not belong to it, with clear errors."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.preparation_journal import JOURNAL
from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.files import TEMPORARY

LOCK = ".prepare.lock"  # allows one preparation of a folder at a time


@contextmanager
def explained_errors(folder: DatasetFolder) -> Iterator[None]:
    """Turn errors of the disk and of worker processes into DataError, whose message says that no work is lost."""
    again = "finished clips are kept: run the same command again to continue"
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or folder.path}: {error.strerror or error}; {again}") from error
    except WriteError as error:
        raise DataError(f"{error}; {again}") from error
    except BrokenProcessPool as error:
        raise DataError(f"a worker process died (out of memory? try fewer workers); {again}") from error


def clear(folder: DatasetFolder) -> None:
    """Remove an earlier preparation with other settings.

    Raises:
        DataError: the folder has features that other tools made.
    """
    if not (folder.path / JOURNAL).is_file() and folder.features.is_dir() and any(folder.features.iterdir()):
        raise DataError(f"{folder.features} holds features that this program did not prepare: choose another name")
    for path in (folder.splits, folder.norm_stats, folder.wave_stats, folder.clips, folder.skipped):
        path.unlink(missing_ok=True)
    for tree in (folder.features, folder.waveforms):
        if tree.is_dir():
            shutil.rmtree(tree)


def prune(folder: DatasetFolder, keys: set[tuple[str, str]], *, waveforms: bool) -> int:
    """Remove clips that are not in ``keys`` and temporary files of killed writers; returns the number of clips."""
    removed = 0
    for root, in_use in ((folder.features, True), (folder.waveforms, waveforms)):
        for class_entry in os.scandir(root) if root.is_dir() else ():
            if not class_entry.is_dir(follow_symlinks=False):
                continue
            remaining = 0
            for entry in os.scandir(class_entry):
                name, extension = os.path.splitext(entry.name)  # noqa: PTH122 - strings, 300,000 times
                if in_use and extension == ".npy" and (class_entry.name, name) in keys:
                    remaining += 1
                elif extension == ".npy" or TEMPORARY.fullmatch(entry.name):
                    Path(entry.path).unlink()
                    removed += extension == ".npy" and root == folder.features
                else:
                    remaining += 1
            if not remaining:
                Path(class_entry.path).rmdir()
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()
    for leftover in (*folder.path.iterdir(), *folder.norm_stats.parent.glob(".*.tmp")):
        if TEMPORARY.fullmatch(leftover.name) and leftover.is_file():
            leftover.unlink()
    return removed
