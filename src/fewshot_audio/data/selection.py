"""A store of some of a store's classes; the segments of the others have no index in it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.store import SegmentRows, Segments, SegmentStore


class SelectedRows:
    """Some rows of an array, renumbered from 0; no index leads to other rows."""

    def __init__(self, array: SegmentRows, rows: Indices) -> None:
        self._array = array
        self._rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self._rows), *self._array.shape[1:])

    @property
    def nbytes(self) -> int:
        """As an array's."""
        return len(self) * (self._array.nbytes // max(1, len(self._array)))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __getitem__(self, indices: Any) -> Segments:
        """Copy rows.

        Raises:
            IndexError: an index is not below ``shape[0]``.
        """
        return np.asarray(self._array[self._rows[indices]])


def select_classes(store: SegmentStore, classes: Iterable[str]) -> SegmentStore:
    """Make a store of the clips of some classes; the segments stay memory-mapped.

    No index of it leads to a clip or segment of another class. Clips keep their order, source recordings and datasets.
    """
    names = set(classes)
    codes = [code for code, name in enumerate(store.classes) if name in names]
    clips = np.flatnonzero(np.isin(store.class_of, codes))
    first, counts = store.index.offsets[clips], np.diff(store.index.offsets)[clips]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = np.repeat(first - offsets[:-1], counts) + np.arange(offsets[-1])
    selected = SegmentStore(
        SelectedRows(store.segments, rows),
        [store.classes[code] for code in codes],
        [store.clips[clip] for clip in clips],
        np.searchsorted(codes, store.class_of[clips]),
        offsets,
    )
    groups, datasets = store.index.groups, store.index.datasets
    selected.index = replace(
        selected.index,
        groups=groups[clips] if groups is not None else None,
        datasets={name: datasets[name] for name in selected.classes} if datasets is not None else None,
    )
    return selected
