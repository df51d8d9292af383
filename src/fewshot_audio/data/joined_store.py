"""One store over the stores of several datasets."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from fewshot_audio.data.store import Segments, SegmentStore


def joined_class_name(dataset: str, name: str) -> str:
    """Name of a class of a joined dataset; both parts are names of folders, so that neither contains a slash."""
    return f"{dataset}/{name}"


class JoinedRows:
    """The rows of several stores, one store after the other; reading rows copies them."""

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
        """Copy rows, all those of a store at once.

        Raises:
            IndexError: an index is not below ``shape[0]``.
        """
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
    """Join the stores of several datasets, in their order; the segments stay memory-mapped.

    The index names the dataset of each class, and the source recordings if all stores have them.

    Args:
        names: of the datasets.
        stores: of the datasets, in the same order; their segments have one shape.
    """
    datasets = {
        joined_class_name(dataset, name): dataset
        for dataset, store in zip(names, stores, strict=True)
        for name in store.classes
    }
    clips = [0, *accumulate(len(store.clips) for store in stores)]
    classes = [0, *accumulate(len(store.classes) for store in stores)]
    segments = [0, *accumulate(len(store.segments) for store in stores)]
    joined = SegmentStore(
        JoinedRows(stores),
        list(datasets),
        [clip for store in stores for clip in store.clips],
        np.concatenate([store.class_of + first for store, first in zip(stores, classes, strict=False)]),
        np.concatenate([[0], *(s.index.offsets[1:] + first for s, first in zip(stores, segments, strict=False))]),
    )
    joined.index = replace(joined.index, datasets=datasets)
    groups = [store.index.groups for store in stores if store.index.groups is not None]
    if len(groups) == len(stores):  # a group's number is below its store's number of clips
        joined.set_groups(np.concatenate([numbers + first for numbers, first in zip(groups, clips, strict=False)]))
    return joined
