"""The segments of a packed store: each is compared with its checksum when it is first read."""

import mmap
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.packed_store import PackedStore
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

READ_AHEAD = 128 * 1024  # bytes that every kernel reads ahead when asked
VERIFIED_AT_ONCE = 4096  # segments

Repack: TypeAlias = Callable[[PackedStore, Indices], PackedStore]
"""Given a store and its damaged segments, returns one of the same clips that is intact."""


class StoredRows:
    """A memory-mapped array of segments that verifies what it gives, and has a damaged store replaced.

    Args:
        store: the packed store.
        repack: what to do if segments of it are damaged.
    """

    def __init__(self, store: PackedStore, repack: Repack) -> None:
        self._store = store
        self._repack = repack
        self._rows = np.arange(len(store.segments))
        self._verified = np.zeros(len(store.segments), np.bool_)

    @property
    def store(self) -> PackedStore:
        """The packed store that they are read from."""
        return self._store

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        shape: tuple[int, ...] = self._store.segments.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array's."""
        dtype: np.dtype[Any] = self._store.segments.dtype
        return dtype

    @property
    def nbytes(self) -> int:
        """As an array's."""
        return self._store.segments.nbytes

    def __len__(self) -> int:
        """Number of segments."""
        return len(self._rows)

    def __getitem__(self, indices: Any) -> Any:
        """Read segments, as those of a read-only array are read.

        Raises:
            DataError: segments are damaged, and cannot be packed anew from the same clips.
        """
        rows = np.atleast_1d(self._rows[indices])
        self._verify(rows[~self._verified[rows]])
        return self._store.segments[indices]

    def verify(self, progress: Progress = silent) -> None:
        """Verify all segments. Raises DataError as reading them does."""
        for start in range(0, len(self), VERIFIED_AT_ONCE):
            rows = self._rows[start : start + VERIFIED_AT_ONCE]
            self.read_ahead(rows)
            self._verify(rows)
            progress("verifying segments", start + len(rows), len(self))

    def read_ahead(self, indices: Indices) -> None:
        """Ask the kernel to read segments into memory, all at once and in the order of the disk."""
        memory: Any = self._store.segments.base
        if not hasattr(memory, "madvise"):
            return
        size = self.nbytes // len(self)
        header = len(memory) - self.nbytes
        for index in np.unique(indices).tolist():
            begin, end = header + index * size, header + (index + 1) * size
            for piece in range(begin - begin % mmap.PAGESIZE, end, READ_AHEAD):
                memory.madvise(mmap.MADV_WILLNEED, piece, min(READ_AHEAD, end - piece))

    def _verify(self, rows: Indices) -> None:
        store = self._store
        damaged = store.damaged(np.unique(rows)) if len(rows) else list(self._if_truncated(store))
        if damaged:
            intact = self._repack(store, np.array(damaged))
            if not np.array_equal(intact.checksums, store.checksums):
                raise DataError(
                    f"{store.path} is damaged, and its clips are not what they were when it was packed: start again"
                )
            if intact.damaged(np.array(damaged)):
                raise DataError(f"{intact.path}: damaged right after it was packed: is the disk or the memory failing?")
            self._store = intact
        self._verified[rows] = True

    def _if_truncated(self, store: PackedStore) -> Sequence[int]:
        """All rows of a store that has become shorter, though they were verified; none otherwise."""
        return self._rows.tolist() if store.is_truncated() else ()
