"""An index that is open for reading: its recordings, and the numbers of their windows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.description import IndexDescription, read_index_description
from fewshot_audio.archive.halves import Singles, widen
from fewshot_audio.archive.metadata import Metadata, read_metadata
from fewshot_audio.archive.partition import matrix_path, partition_numbers, read_partition, read_rows
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.scoring import Counts

PIECE = 4096  # windows that are read at once


@dataclass(frozen=True)
class Run:
    """Windows whose rows follow each other in a matrix.

    Attributes:
        first: number of the first window.
        windows: how many there are.
        partition: number of the partition.
        row: of the first window in the matrices.
    """

    first: int
    windows: int
    partition: int
    row: int


class Index:
    """Recordings whose windows were embedded once, by ``fewshot-audio index``.

    Windows are numbered from 0, those of a recording one after another. An index may be read while it is written: it
    shows what there was when it was opened. It may come from anybody: nothing in it is executed, and all is checked.

    Args:
        folder: the index.

    Attributes:
        description: the network and the encoders that embedded it, and how recordings were cut.
        recordings: that count; those without windows cannot be used, and their ``error`` says why.

    Raises:
        DataError: it is no index, or one that cannot be trusted; says which file, and why.

    Example:
        >>> index = Index("my_index")  # doctest: +SKIP
        >>> len(index), index.recordings[0].file  # doctest: +SKIP
        (1440, 'pond/20240131_235900.WAV')
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description: IndexDescription = read_index_description(self.folder)
        self.recordings: list[IndexedRecording] = []
        self._runs: list[Run] = []
        names: set[str] = set()
        windows = 0
        for number in partition_numbers(self.folder):
            state, row = read_partition(self.folder, number, self.description), 0
            for recording, is_live in zip(state.recordings, state.is_live, strict=True):
                if is_live and recording.file not in names:
                    names.add(recording.file)
                    self.recordings.append(recording)
                    self._add_run(Run(windows, recording.windows, number, row))
                    windows += recording.windows
                row += recording.windows
        counts = np.array([recording.windows for recording in self.recordings], dtype=np.int64)
        self.first_windows: Counts = np.cumsum(counts) - counts

    def __len__(self) -> int:
        return self._runs[-1].first + self._runs[-1].windows if self._runs else 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder}: {len(self.recordings)} recordings, {len(self)} windows>"

    def _add_run(self, run: Run) -> None:
        last = self._runs[-1] if self._runs else None
        if last and last.partition == run.partition and last.row + last.windows == run.row:
            self._runs[-1] = Run(last.first, last.windows + run.windows, last.partition, last.row)
        elif run.windows:
            self._runs.append(run)

    @cached_property
    def metadata(self) -> Metadata:
        """Further columns of recordings, as ``index --metadata`` has joined them."""
        return read_metadata(self.folder, [recording.file for recording in self.recordings])

    def recording_of(self, windows: Counts) -> Counts:
        """The number of each window's recording."""
        numbers: Counts = np.searchsorted(self.first_windows, windows, side="right") - 1
        return numbers

    def times(self, window: int) -> tuple[IndexedRecording, float, float]:
        """The recording of a window, and its start and end in seconds."""
        number = int(self.recording_of(np.array([window]))[0])
        recording = self.recordings[number]
        return recording, *recording.window(window - int(self.first_windows[number]), self.description)

    def pieces(self, size: int = PIECE) -> Iterator[Run]:
        """All windows, in parts that ``read`` takes."""
        for run in self._runs:
            for begin in range(0, run.windows, size):
                yield Run(run.first + begin, min(size, run.windows - begin), run.partition, run.row + begin)

    def read(self, block: str, piece: Run) -> NDArray[np.float16]:
        """The rows of a block for a piece, (windows, width); only zeros are those of silent windows.

        They are read, not mapped into memory, which would count as memory of this process.
        """
        rows = range(piece.row, piece.row + piece.windows)
        return read_rows(self.folder, piece.partition, block, self.description.blocks[block], rows)

    def rows(self, block: str, windows: Counts) -> Singles:
        """The rows of a block for some windows, in their order; (windows, width)."""
        width = self.description.blocks[block]
        rows = np.empty((len(windows), width), np.float16)
        firsts = np.array([run.first for run in self._runs])
        run_of = np.searchsorted(firsts, windows, side="right") - 1
        for number in np.unique(run_of):
            run, here = self._runs[number], run_of == number
            path = matrix_path(self.folder, run.partition, block)
            shape = (run.row + run.windows, width)
            try:
                matrix = np.memmap(path, np.float16, "r", shape=shape)
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: cannot be read, or was cut off: {error}") from error
            rows[here] = matrix[windows[here] - run.first + run.row]
        return widen(rows)
