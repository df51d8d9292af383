"""How much numbers vary within classes, estimated from a few clips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.recognition.decision.examples import Counts, Floats

PRIOR_CLIPS = 10.0
"""Weight of what is common to all numbers of a block, or to all classes, beside the evidence for one, in clips."""


def class_means(clips: Floats, labels: Counts) -> Floats:
    """Shape: clips (clips, width), labels (clips,) -> (classes, width)."""
    counts = np.bincount(labels)
    means = np.zeros((len(counts), clips.shape[1]))
    np.add.at(means, labels, clips)
    means /= counts[:, None]
    return means


def freedom(labels: Counts) -> int:
    """Clips beyond the first of each class; at least 1."""
    return max(1, len(labels) - len(np.bincount(labels)))


def varying(clips: Floats, widths: Sequence[int]) -> tuple[NDArray[np.bool_], list[int]]:
    """Which standardized numbers vary at all, and how many of each block do; the others are 0 in every clip.

    Encoders from elsewhere have many that do not: they tell nothing, and must not count as numbers that are alike
    within classes.

    Shape:
        clips (clips, width), widths of the blocks -> (width,), one number for each block.
    """
    varies: NDArray[np.bool_] = (clips != 0).any(axis=0, keepdims=True)[0]
    return varies, [int(part.sum()) for part in np.split(varies, np.cumsum(widths)[:-1])]


def by_block(values: Floats, widths: Sequence[int]) -> Floats:
    """The mean of each block, for each of its numbers. Shape: (width,) -> (width,)."""
    parts = np.split(values, np.cumsum(widths)[:-1])
    return np.repeat([part.mean() if len(part) else 0.0 for part in parts], widths)


def within_classes(residuals: Floats, labels: Counts, widths: Sequence[int]) -> Floats:
    """Variance of each number within classes, shrunk towards the mean one of its block.

    Args:
        residuals: clips less the means of their classes, (clips, width).
        labels: their classes, (clips,).
        widths: of the blocks.

    Returns:
        (width,); 0 only in a block that does not vary at all.
    """
    squares, evidence = np.square(residuals).sum(axis=0), freedom(labels)
    common = by_block(squares, widths) / evidence
    shrunk: Floats = (squares + PRIOR_CLIPS * common) / (evidence + PRIOR_CLIPS)
    return shrunk
