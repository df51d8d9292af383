"""Giving back the space of windows that count no more: what counts is copied to new parts, then the old ones go.

Numbers of parts only rise, so that a process which has the index open finds no other rows under a former number: its
next reading is refused, and it has to open the index again.
"""

import re
from pathlib import Path

from fewshot_audio.archive.build import LOCK, remove_repeated
from fewshot_audio.archive.description import IndexDescription, read_index_description
from fewshot_audio.archive.partition import (
    MOST_PARTITIONS,
    PartitionState,
    PartitionWriter,
    journal_path,
    lock_path,
    partition_numbers,
    read_partition,
    read_rows,
)
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes, locked

FILE = re.compile(r"part-([0-9]{4})\..+")
STEP = 4096  # windows that are in memory at once


def compact_index(folder: Path) -> int:
    """Make an index anew without the windows of recordings that were changed or removed.

    It may be killed at any moment: a recording that is there twice counts once, and the next call does the rest. What
    counts is on the disk twice for a while.

    Args:
        folder: the index.

    Returns:
        How many windows were dropped; if there are none, nothing is done.

    Raises:
        DataError: the index cannot be trusted, or another process is writing to it.
        WriteError: the disk is full, or may not be written to; the index is as before.
    """
    description = read_index_description(folder)
    with locked(folder / LOCK, DataError(f"{folder}: another process is writing to this index")):
        numbers = partition_numbers(folder)
        _remove_parts(folder, range(min(numbers, default=0)))
        if not remove_repeated(folder, description):  # after that it does not matter which part is read first
            return 0
        states = {number: read_partition(folder, number, description) for number in numbers}
        first = max(numbers) + 1
        fresh = range(first, first + len(numbers))
        if fresh.stop > MOST_PARTITIONS:
            raise DataError(f"{folder}: no numbers are left for parts after {max(numbers)}: make the index again")
        try:
            for number, state, into in zip(numbers, states.values(), fresh, strict=True):
                _copy(folder, number, state, into, description)
        except BaseException:
            _remove_parts(folder, fresh)
            raise
        _remove_parts(folder, range(first))
    pairs = (pair for state in states.values() for pair in zip(state.recordings, state.is_live, strict=True))
    return sum(recording.windows for recording, is_live in pairs if not is_live)


def _copy(folder: Path, number: int, state: PartitionState, into: int, description: IndexDescription) -> None:
    """Copy what counts of a part."""
    with locked(lock_path(folder, into)), PartitionWriter(folder, into, description) as writer:
        row = 0
        for recording, is_live in zip(state.recordings, state.is_live, strict=True):
            end = row + recording.windows
            if is_live:
                for begin in range(row, end, STEP):
                    rows = range(begin, min(begin + STEP, end))
                    blocks = description.blocks.items()
                    writer.add_rows({name: read_rows(folder, number, name, width, rows) for name, width in blocks})
                writer.add(recording)
            row = end
        writer.commit()


def _remove_parts(folder: Path, numbers: range) -> None:
    """Remove parts, the least number first, and of each its journal first: without that, it is none."""
    named = ((FILE.fullmatch(path.name), path) for path in folder.iterdir())
    files = sorted((int(name[1]), path) for name, path in named if name and int(name[1]) in numbers)
    for number in sorted({number for number, _ in files}):
        with locked(lock_path(folder, number)), explained_writes(folder):
            journal_path(folder, number).unlink(missing_ok=True)
            for path in (path for own, path in files if own == number and path != lock_path(folder, number)):
                path.unlink(missing_ok=True)
        lock_path(folder, number).unlink(missing_ok=True)
