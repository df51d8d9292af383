"""One store over the stores of several datasets."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from fewshot_audio.data.store import Segments, SegmentStore


def class_name(dataset: str, name: str) -> str:
    """Name of a class of a joined dataset; neither part holds a slash, both being folders' names."""
    return f"{dataset}/{name}"


class JoinedRows:
    """The rows of several stores, one store after the other; rows are copied when they are read."""

    def __init__(self, stores: Sequence[SegmentStore]) -> None:
        self._stores = stores
        self._starts = [0, *accumulate(len(store.segments) for store in stores)]
        self._numbers = np.arange(self._starts[-1])
        self._dtype = stores[0].segments[:0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self), *self._stores[0].shape)

    @property
    def nbytes(self) -> int:
        """As an array's."""
        return sum(store.segments.nbytes for store in self._stores)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._numbers)

    def __getitem__(self, indices: Any) -> Segments:
        """Copy rows, each store's in one go. Raises IndexError for an index that is not below ``shape[0]``."""
        numbers = np.asarray(self._numbers[indices])
        rows = np.empty((*numbers.shape, *self._stores[0].shape), self._dtype)
        for store, start, end in zip(self._stores, self._starts, self._starts[1:], strict=False):
            here = (start <= numbers) & (numbers < end)
            if here.any():
                own = numbers[here] - start
                store.read_ahead(own)
                rows[here] = store.segments[own]
        return rows


def join_stores(names: Sequence[str], stores: Sequence[SegmentStore]) -> SegmentStore:
    """One store of the clips of several datasets, in their order, still memory-mapped.

    The index names the dataset of each class, and keeps the source recordings if all stores know theirs.

    Args:
        names: of the datasets.
        stores: of the datasets, in the same order; their segments have one shape.
    """
    clips = [0, *accumulate(len(store.clips) for store in stores)]
    classes = [0, *accumulate(len(store.classes) for store in stores)]
    segments = [0, *accumulate(len(store.segments) for store in stores)]
    joined = SegmentStore(
        JoinedRows(stores),
        [class_name(name, of) for name, store in zip(names, stores, strict=True) for of in store.classes],
        [clip for store in stores for clip in store.clips],
        np.concatenate([store.class_of + first for store, first in zip(stores, classes, strict=False)]),
        np.concatenate([[0], *(s.index.offsets[1:] + first for s, first in zip(stores, segments, strict=False))]),
    )
    datasets = {class_name(n, of): n for n, store in zip(names, stores, strict=True) for of in store.classes}
    joined.index = replace(joined.index, datasets=datasets)
    groups = [store.index.groups for store in stores if store.index.groups is not None]
    if len(groups) == len(stores):  # a group's number is below its store's number of clips
        joined.set_groups(np.concatenate([of + first for of, first in zip(groups, clips, strict=False)]))
    return joined
