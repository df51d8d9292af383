"""The recordings of several datasets as one pool of training segments."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.samples import Samples
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

SILENT = -100.0
"""dB; frames that are quieter everywhere are silence that a segment was filled up with."""

_BLOCK = 256  # segments that are read at once


@dataclass(frozen=True)
class TrainingPool:
    """Segments by class, and classes by collection.

    Args:
        features: of all segments, dB; float16 is exact to 0.06 dB, and half as large. Shape: (segments, mels, frames).
        lengths: frames of each segment before the silence that it was filled up with, (segments,).
        classes: names, "collection/class".
        segments_of: the segments of each class.
        collection_of: number of each class's collection, (classes,).
        collections: names.
    """

    features: NDArray[np.float16]
    lengths: NDArray[np.int64]
    classes: tuple[str, ...]
    segments_of: tuple[NDArray[np.int64], ...]
    collection_of: NDArray[np.int64]
    collections: tuple[str, ...]

    def shares(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """How often each collection is drawn, (collections,).

        By the root of its size, so that large ones do not drown small ones, times its weight, which is 1 if not given:
        one of many kinds of sounds counts for more than one of many speakers.
        """
        sizes = np.zeros(len(self.collections))
        np.add.at(sizes, self.collection_of, [len(segments) for segments in self.segments_of])
        wanted = np.sqrt(sizes) * [weights.get(name, 1.0) for name in self.collections]
        shares: NDArray[np.float64] = wanted / wanted.sum()
        return shares


def read_pool(folders: DatasetFolders, excluded: Collection[str] = (), progress: Progress = silent) -> TrainingPool:
    """Read all classes of joined datasets but those that are excluded.

    Args:
        folders: prepared with one preprocessing, ``fill`` "silence".
        excluded: names of classes, "collection/class", all of which must be there.
        progress: called while segments are read.

    Raises:
        DataError: a class that is excluded is not there, or a store cannot be read.
    """
    store = folders.open_store(progress=progress)
    missing = sorted(set(excluded) - set(store.classes))
    if missing:
        raise DataError(f"{folders}: there is no class {missing[0]!r} to leave out")
    names = [name for name in store.classes if name not in excluded]
    datasets = store.index.datasets or dict.fromkeys(store.classes, folders.name)
    collections = tuple(dict.fromkeys(datasets[name] for name in names))
    features = np.empty((len(store.segments), *store.shape), dtype=np.float16)
    for start in range(0, len(features), _BLOCK):
        progress("reading segments", start, len(features))
        block = np.arange(start, min(start + _BLOCK, len(features)))
        features[block] = store.read(block)
    by_class = store.index.by_class
    segments = [np.concatenate([list(store.index.segments(int(clip))) for clip in by_class[name]]) for name in names]
    return TrainingPool(
        features,
        audible_lengths(features),
        tuple(names),
        tuple(segments),
        np.array([collections.index(datasets[name]) for name in names]),
        collections,
    )


def audible_lengths(features: NDArray[np.float16] | Samples) -> NDArray[np.int64]:
    """Frames up to the last one that is not silent, at least 1. Shape: (segments, mels, frames) -> (segments,)."""
    audible: NDArray[np.bool_] = np.any(features > SILENT, axis=1)
    last = audible.shape[1] - np.argmax(audible[:, ::-1], axis=1)
    lengths: NDArray[np.int64] = np.where(audible.any(axis=1), last, 1)
    return lengths
