"""What a decision is fitted on: the features of enrolled clips, segment by segment, and their classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

Block: TypeAlias = str
"""A kind of features: "embedding" and "timbre", which all clips have, or one of a frozen encoder."""

Features: TypeAlias = Mapping[Block, Floats]
"""Rows of each block, one for each segment: (segments, width of the block)."""

MOST_SEGMENTS = 8
"""Segments of a clip that a decision is fitted on; of a longer clip they are taken at even distances."""


@dataclass(frozen=True)
class Examples:
    """Enrolled clips.

    Args:
        features: rows of all clips, one clip after the other.
        clip_of: number of the clip that each row belongs to, (rows,), ascending from 0.
        labels: number of each clip's class, (clips,), from 0.
        groups: the recording that each clip was cut out of, (clips,); "" for a clip that is a recording itself. Empty
            if all are.
    """

    features: Features
    clip_of: Counts
    labels: Counts
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, clips: list[Features], labels: Counts, groups: tuple[str, ...] = ()) -> "Examples":
        """Put the clips together, each with at most ``MOST_SEGMENTS`` of its segments."""
        thinned = [_thin(clip) for clip in clips]
        counts = [len(next(iter(clip.values()))) for clip in thinned]
        features = {block: np.concatenate([clip[block] for clip in thinned]) for block in thinned[0]}
        return cls(features, np.repeat(np.arange(len(clips)), counts), labels, groups)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    @property
    def weights(self) -> Floats:
        """Weight of each row, 1 on average: classes count alike, so do the clips of a class and the rows of a clip."""
        clips, rows = np.bincount(self.labels), np.bincount(self.clip_of)
        weights: Floats = 1.0 / (clips[self.labels] * rows)[self.clip_of]
        weights *= len(weights) / weights.sum()
        return weights

    def clip_means(self, rows: Floats) -> Floats:
        """Mean of each clip's rows, (rows, ...) -> (clips, ...)."""
        starts = np.searchsorted(self.clip_of, np.arange(len(self.labels)))
        counts = np.bincount(self.clip_of).reshape(-1, *[1] * (rows.ndim - 1))
        means: Floats = np.add.reduceat(rows, starts, axis=0) / counts
        return means

    def part(self, clips: NDArray[np.bool_]) -> "Examples":
        """Only some of the clips, (clips,)."""
        rows = clips[self.clip_of]
        features = {block: values[rows] for block, values in self.features.items()}
        numbers = np.cumsum(clips) - 1
        return Examples(features, numbers[self.clip_of[rows]], self.labels[clips], tuple(compress(self.groups, clips)))

    def folds(self, most: int, *, in_turn: bool = False) -> list[NDArray[np.bool_]]:
        """Deal the clips of each class, in their order, to at most so many folds: the clips of each fold, (clips,).

        Clips of one group stay together, so that none is judged by others of its recording, and so do clips of the same
        features, so that none is judged by its copy; unless a class has no others.

        Args:
            most: how many folds.
            in_turn: whether a class begins where the class before it ended, and not all with the first fold.
        """
        copies = [values.tobytes() for values in self._first_rows()]
        groups = self.groups or ("",) * len(copies)
        fold_of = np.zeros(len(self.labels), dtype=np.int64)
        begin = 0
        for label in range(self.n_classes):
            clips = np.flatnonzero(self.labels == label)
            own_copies = [copies[clip] for clip in clips]
            together = _numbers(_joined([groups[clip] for clip in clips], own_copies))
            places = next(filter(max, (together, _numbers(own_copies))), list(range(len(clips))))
            fold_of[clips] = (np.array(places) + begin) % most
            begin += max(places) + 1 if in_turn else 0
        return [fold_of == fold for fold in range(int(fold_of.max()) + 1)]

    def _first_rows(self) -> Floats:
        starts = np.searchsorted(self.clip_of, np.arange(len(self.labels)))
        rows: Floats = np.concatenate([values[starts] for values in self.features.values()], axis=1)
        return rows


def _joined(groups: Sequence[str], copies: Sequence[bytes]) -> list[int]:
    """What is to stay together, by number: clips of one group, copies of each other, and what is with either."""
    places = list(range(len(copies)))
    for keys in (groups, copies):
        first: dict[str | bytes, int] = {}
        for clip, key in enumerate(list[str | bytes](keys)):
            if key:
                own, other = places[clip], places[first.setdefault(key, clip)]
                places = [min(own, other) if place in (own, other) else place for place in places]
    return places


def _numbers(keys: Sequence[str | bytes | int]) -> list[int]:
    """The number of each key, in the order in which different ones come first, from 0."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def _thin(clip: Features) -> Features:
    count = len(next(iter(clip.values())))
    if count <= MOST_SEGMENTS:
        return clip
    chosen = np.linspace(0, count - 1, MOST_SEGMENTS).round().astype(np.int64)
    return {block: values[chosen] for block, values in clip.items()}
