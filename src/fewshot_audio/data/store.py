"""The store: a dataset folder's segments in one memory-mapped array, with an index of clips and classes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.data.clip_index import ClipIndex, Indices
from fewshot_audio.data.csv_files import read_rows
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import PackedStore
from fewshot_audio.data.store_folder import StoreFolder
from fewshot_audio.data.stored_rows import Repack, StoredRows
from fewshot_audio.progress import Progress, silent

Segments: TypeAlias = NDArray[np.float32]


class SegmentRows(Protocol):
    """The segments of a store: a memory map, or rows selected from others."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (segments, ...)."""

    @property
    def nbytes(self) -> int:
        """Bytes of all segments."""

    def __len__(self) -> int:
        """Number of segments."""

    def __getitem__(self, indices: Any) -> Any:
        """Read segments."""


class SegmentStore:
    """All segments of a dataset folder, read by index; ``index`` has the clips and classes that they belong to.

    Args:
        segments: the segments, read-only, usually memory-mapped. Shape: (segments, ...).
        classes: names of the classes.
        clips: names of the clips.
        class_of: the class of each clip, as a position in ``classes``. Shape: (clips,).
        offsets: clip ``c`` owns segments ``offsets[c]`` to ``offsets[c + 1]`` (exclusive). Shape: (clips + 1,).
    """

    def __init__(
        self, segments: SegmentRows, classes: Sequence[str], clips: Sequence[str], class_of: Indices, offsets: Indices
    ):
        self.segments = segments
        self.classes = tuple(classes)
        self.clips = tuple(clips)
        self.class_of = class_of
        order = np.argsort(class_of, kind="stable")
        bounds = np.searchsorted(class_of[order], np.arange(len(classes) + 1))
        by_class = {name: order[bounds[c] : bounds[c + 1]] for c, name in enumerate(classes)}
        self.index = ClipIndex(offsets, by_class)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one segment: (mels, frames), or (samples,)."""
        return self.segments.shape[1:]

    def read(self, indices: Indices, out: Segments | None = None) -> Segments:
        """Copy segments, into ``out`` if it is given.

        Shape:
            indices (...) -> (..., *shape), float32.
        """
        self.read_ahead(indices)
        if out is None:
            return np.asarray(self.segments[indices], dtype=np.float32)
        out[...] = self.segments[indices]
        return out

    def read_ahead(self, indices: Indices) -> None:
        """Ask the kernel to read segments into memory, if they are a memory map."""
        if isinstance(self.segments, StoredRows):
            self.segments.read_ahead(indices)

    def read_groups(self, path: Path) -> int:
        """Number the clips' source recordings in ``index.groups``; a clip without one gets a number of its own.

        Args:
            path: the ``clips.csv`` that names them; it may be missing.

        Returns:
            The number of clips that have a source recording.

        Raises:
            DataError: the file cannot be read.
        """
        group_of: dict[tuple[str, str], str] = {}
        if path.is_file():
            rows = read_rows(path, ("class", "clip", "group"))
            group_of = {(row["class"], row["clip"]): row["group"] for row in rows if row["group"]}
        keys = [(self.classes[code], clip) for clip, code in zip(self.clips, self.class_of.tolist(), strict=True)]
        names: list[tuple[str, ...]] = [(group_of[key],) if key in group_of else key for key in keys]
        numbers: dict[tuple[str, ...], int] = {}
        self.set_groups(np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64))
        return sum(len(name) == 1 for name in names)

    def set_groups(self, groups: Indices) -> None:
        """Number the source recording of every clip. Shape: (clips,)."""
        self.index = dataclasses.replace(self.index, groups=groups)

    @classmethod
    def open(
        cls,
        folder: DatasetFolder,
        kind: Literal["features", "waveforms"] = "features",
        progress: Progress = silent,
        precision: Literal["float32", "float16"] = "float32",
    ) -> "SegmentStore":
        """Open the store of a dataset folder; pack it first if it is missing or the folder has changed.

        The packed files are in the dataset folder's ``.store``, or in the user's cache if they are missing there and
        the folder cannot be written. If two processes start at once, one packs and the other waits.

        Args:
            folder: the dataset folder.
            kind: which of its arrays.
            progress: called while the store is packed.
            precision: how the packed store keeps numbers.

        Raises:
            DataError: the folder has no such arrays, or they do not fit together; names the file.
        """
        place = StoreFolder(folder, kind, precision)
        return cls.of(place.open(progress), place.pack_again)

    @classmethod
    def of(cls, packed: PackedStore, repack: Repack) -> "SegmentStore":
        """Make a store of a packed one; ``repack`` replaces it if segments of it turn out to be damaged."""
        offsets = np.concatenate([[0], np.cumsum(packed.counts)])
        return cls(StoredRows(packed, repack), packed.classes, packed.clips, packed.class_of, offsets)
