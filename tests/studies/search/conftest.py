"""A record of which classes' segments were read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.store import SegmentRows, Segments, SegmentStore


class Watched:
    """An array that remembers which rows were read."""

    def __init__(self, array: SegmentRows, read: set[int]) -> None:
        self.array, self.read = array, read

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, indices: Indices) -> Segments:
        self.read.update(np.arange(self.shape[0])[indices].ravel().tolist())
        return self.array[indices]


@pytest.fixture
def classes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Names of the classes that any store opened in this test has read segments of."""
    open_store = SegmentStore.open
    opened: list[tuple[SegmentStore, set[int]]] = []

    def watch(*arguments: Any, **options: Any) -> SegmentStore:
        store = open_store(*arguments, **options)
        rows: set[int] = set()
        store.segments = Watched(store.segments, rows)
        opened.append((store, rows))
        return store

    monkeypatch.setattr(SegmentStore, "open", watch)

    def names() -> set[str]:
        actual: set[str] = set()
        for store, rows in opened:
            clips = np.searchsorted(store.index.offsets, sorted(rows), side="right") - 1
            actual |= {store.classes[code] for code in store.class_of[clips].tolist()}
        return actual

    return names


@pytest.fixture
def splits(tiny_dataset: Path) -> Any:
    """The tiny dataset's published split."""
    return read_splits(tiny_dataset / "Tiny" / "splits.npy")
