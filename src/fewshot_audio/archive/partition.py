"""A part of an index: the matrix of each block, and a journal of recordings, whose lines are the commit points.

One process at a time appends to a partition. Windows are on the disk before the line of their recording is written, so
that a process can be killed at any moment: what no line tells of is cut off, and embedded again.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from fewshot_audio.archive.description import IndexDescription
from fewshot_audio.archive.halves import Halves
from fewshot_audio.archive.recordings import IndexedRecording, recording_of
from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.files import explained_writes, locked, write_text

JOURNAL = re.compile(r"part-([0-9]{4})\.jsonl")
MOST_PARTITIONS = 10_000
LARGEST_JOURNAL = 1 << 30  # bytes
LONGEST_LINE = 1 << 16
HALF_BYTES = 2
COMMIT_WINDOWS = 256  # that are embedded again at most after a kill, beside those of the recording at hand


@dataclass
class PartitionState:
    """What the journal of a partition says.

    Attributes:
        recordings: in the order of their rows.
        is_live: which of them count; others were changed, removed, or are there twice.
    """

    recordings: list[IndexedRecording] = field(default_factory=list)
    is_live: list[bool] = field(default_factory=list)

    @property
    def windows(self) -> int:
        """Rows of each matrix, of all recordings."""
        return sum(recording.windows for recording in self.recordings)


def partition_numbers(folder: Path) -> list[int]:
    """The numbers of the partitions in an index."""
    names = (JOURNAL.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)


def journal_path(folder: Path, number: int) -> Path:
    """The journal of a partition."""
    return folder / f"part-{number:04}.jsonl"


def lock_path(folder: Path, number: int) -> Path:
    """The lock of a partition, which the process that appends to it has."""
    return folder / f"part-{number:04}.lock"


def matrix_path(folder: Path, number: int, block: str) -> Path:
    """The matrix of a block: rows of float16, without a header."""
    return folder / f"part-{number:04}.{block.replace(':', '-')}.f16"


def read_partition(folder: Path, number: int, description: IndexDescription) -> PartitionState:
    """Read and check the journal of a partition, which anybody may have written.

    A last line that is not complete is that of a process which was killed, or is still writing: it is left out.

    Raises:
        DataError: a line is not as it should be, or a matrix has fewer rows than the lines say.
    """
    path = journal_path(folder, number)
    state, lines = PartitionState(), _read_lines(path)
    header = _header(description)
    if lines and lines[0] != header:
        raise DataError(f"{path}, line 1: not the header of a part of this index")
    place: dict[str, int] = {}
    for line_number, line in enumerate(lines[1:], start=2):
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise DataError("no JSON object")
            if values.keys() == {"removed"}:
                former = place.pop(values["removed"]) if isinstance(values["removed"], str) else None
                if former is None:
                    raise DataError("removed: expected the name of a recording")
                state.is_live[former] = False
                continue
            recording = recording_of(values, description)
        except (ValueError, RecursionError, KeyError, DataError) as error:
            raise DataError(f"{path}, line {line_number}: {error}") from error
        if recording.file in place:
            raise DataError(f"{path}, line {line_number}: {recording.file!r} is there twice")
        place[recording.file] = len(state.recordings)
        state.recordings.append(recording)
        state.is_live.append(True)
    for block, width in description.blocks.items():
        _check_rows(matrix_path(folder, number, block), width, state.windows)
    return state


def _read_lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST_JOURNAL:
                raise DataError(f"{path}: more than {LARGEST_JOURNAL} bytes")
            lines = stream.read(LARGEST_JOURNAL).split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{path}, line {number}: more than {LONGEST_LINE} bytes")
    return lines


def _check_rows(path: Path, width: int, rows: int) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if size < rows * width * HALF_BYTES:
        raise DataError(f"{path}: {size} bytes, expected {rows} rows of {width} numbers of 2 bytes")


def read_rows(folder: Path, number: int, block: str, width: int, rows: range) -> Halves:
    """Rows of a matrix, (rows, width). Raises DataError if they cannot be read."""
    path = matrix_path(folder, number, block)
    try:
        halves = np.fromfile(path, np.float16, len(rows) * width, offset=rows.start * width * HALF_BYTES)
        return halves.reshape(len(rows), width)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, or was cut off: {error}") from error


def _header(description: IndexDescription) -> bytes:
    return json.dumps({"format": description.format, "index": description.digest}).encode()


def remove_recordings(folder: Path, number: int, names: Iterable[str]) -> None:
    """Note that recordings of a partition do not count any more, once no process is appending to it."""
    path = journal_path(folder, number)
    with locked(lock_path(folder, number)), explained_writes(path), path.open("rb+") as stream:
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
        stream.write("".join(_removal(name) + "\n" for name in names).encode())


def _removal(name: str) -> str:
    return json.dumps({"removed": name})


def _cut_journal(path: Path) -> None:
    """Cut off a last line that is not complete."""
    with explained_writes(path), path.open("rb+") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read() == b"\n":
                return
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)


@dataclass(frozen=True)
class _Left:
    """How a writer of this process has left a partition; the next one need not read a long journal again.

    Args:
        journal: inode, size and time of the journal: another process may have appended since.
        rows: of each matrix.
        live: the recordings that count, by name.
    """

    journal: tuple[int, int, int]
    rows: int
    live: dict[str, IndexedRecording]


_left: dict[Path, _Left] = {}


def _journal_state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


class PartitionWriter:
    """Appends recordings to a partition; no other process may do so meanwhile.

    Args:
        folder: of the index.
        number: of the partition, which is made if there is none.
        description: of the index.

    Attributes:
        live: recordings of the partition that count, by name, apart from those that were added last.
    """

    def __init__(self, folder: Path, number: int, description: IndexDescription) -> None:
        self._path = journal_path(folder, number)
        self._widths = description.blocks
        self._matrices = {block: matrix_path(folder, number, block) for block in self._widths}
        self._pending: list[IndexedRecording] = []
        self._pending_windows = 0
        if self._path.exists():
            _cut_journal(self._path)
        if not self._path.exists() or not self._path.stat().st_size:
            write_text(self._path, _header(description).decode() + "\n", sync=True)
        left = _left.pop(self._path, None)
        if left is None or left.journal != _journal_state(self._path):
            state = read_partition(folder, number, description)
            live = zip(state.recordings, state.is_live, strict=True)
            left = _Left((0, 0, 0), state.windows, {own.file: own for own, is_live in live if is_live})
        for block, path in self._matrices.items():
            _check_rows(path, self._widths[block], left.rows)
        self.live = left.live
        self._rows = self._committed = left.rows

    def __enter__(self) -> Self:
        self._streams: dict[str, IO[bytes]] = {}
        for block, path in self._matrices.items():
            with explained_writes(path):
                self._streams[block] = path.open("ab")
        self._cut(self._committed)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for block, stream in self._streams.items():
            try:
                with explained_writes(self._matrices[block]):
                    stream.close()
            except WriteError:  # what is buffered did not fit on the disk either: the first error says so
                if error is None:
                    raise
        if error is None and not self._pending:
            _left[self._path] = _Left(_journal_state(self._path), self._committed, self.live)

    def add_rows(self, blocks: Mapping[str, Halves]) -> None:
        """Append rows of windows of the recording at hand, (windows, width of the block) each."""
        count = {len(rows) for rows in blocks.values()}
        for block, rows in blocks.items():
            if rows.shape[1] != self._widths[block]:
                raise DataError(f"{block}: rows of {rows.shape[1]} numbers, expected {self._widths[block]}")
            with explained_writes(self._matrices[block]):
                self._streams[block].write(np.ascontiguousarray(rows).data)
        (windows,) = count
        self._rows += windows

    def add(self, recording: IndexedRecording) -> None:
        """End the recording at hand, whose rows have been added; those of one without windows are dropped."""
        if not recording.windows:
            self._cut(self._committed + self._pending_windows)
        self._pending.append(recording)
        self._pending_windows += recording.windows
        if self._pending_windows >= COMMIT_WINDOWS:
            self.commit()

    def commit(self) -> None:
        """Write the lines of the recordings whose rows are complete; a former one of the same name counts no more."""
        if not self._pending:
            return
        if self._pending_windows:
            for block, stream in self._streams.items():
                with explained_writes(self._matrices[block]):
                    stream.flush()
                    os.fsync(stream.fileno())
        lines = []
        for recording in self._pending:
            if recording.file in self.live:
                lines.append(_removal(recording.file))
            lines.append(recording.line())
        with explained_writes(self._path), self._path.open("ab") as journal:
            journal.write("".join(line + "\n" for line in lines).encode())
        self.live.update((recording.file, recording) for recording in self._pending)
        self._committed += self._pending_windows
        self._pending, self._pending_windows = [], 0

    def _cut(self, rows: int) -> None:
        for block, stream in self._streams.items():
            with explained_writes(self._matrices[block]):
                stream.flush()
                stream.truncate(rows * self._widths[block] * HALF_BYTES)
                stream.seek(0, os.SEEK_END)
        self._rows = rows
