"""How far a clip is from the enrolled classes, in units of what is expected: it tells sounds of no class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.examples import Counts, Floats

PRIOR_CLIPS = 10.0
"""Weight of what is common to all numbers, or all classes, beside the evidence for one, in clips."""


@dataclass(frozen=True)
class ClassDistances:
    """Class means, in numbers that are scaled by their deviation within classes.

    Args:
        scale: factor of each number, (width,); 0 for one that does not count.
        means: of the classes, scaled, (classes, width).
        expected: distance of a new clip of each class to its mean, (classes,).
    """

    scale: Floats
    means: Floats
    expected: Floats

    @classmethod
    def fit(cls, clips: Floats, labels: Counts, blocks: Sequence[tuple[int, float]]) -> "ClassDistances":
        """Fit to clips.

        A number's variance within classes is shrunk towards the mean of its block, and a class's variance towards that
        of all classes. The mean of K clips errs by 1 / K of the class's variance, so a new clip's squared distance is
        expected to be the variance x (1 + 1 / K).

        Args:
            clips: standardized, (clips, width).
            labels: their classes, (clips,).
            blocks: width of each block, and its share in squared distances within a class.
        """
        counts = np.bincount(labels)
        means = np.zeros((len(counts), clips.shape[1]))
        np.add.at(means, labels, clips)
        means /= counts[:, None]
        residuals = clips - means[labels]
        freedom = max(1, len(clips) - len(counts))
        scale = _scales(np.square(residuals).sum(axis=0), freedom, blocks)
        squares = np.bincount(labels, weights=np.square(residuals * scale).sum(axis=1))
        common = squares.sum() / freedom or 1.0
        variances = (squares + PRIOR_CLIPS * common) / (counts - 1 + PRIOR_CLIPS)
        return cls(scale, means * scale, np.sqrt(variances * (1 + 1 / counts)))

    def __call__(self, clips: Floats) -> Floats:
        """Distances over the expected ones. Shape: (clips, width) -> (clips, classes)."""
        points = clips * self.scale
        squares = np.square(points).sum(axis=1)[:, None] + np.square(self.means).sum(axis=1) - 2 * points @ self.means.T
        distances: Floats = np.sqrt(np.maximum(squares, 0.0)) / self.expected
        return distances


def _scales(squares: Floats, freedom: int, blocks: Sequence[tuple[int, float]]) -> Floats:
    """Factors by which the numbers of each block vary alike, and blocks by their shares."""
    scale = np.zeros(len(squares))
    start = 0
    for width, share in blocks:
        block = slice(start, start + width)
        start += width
        common = squares[block].mean() / freedom
        if common > 0:
            variance = (squares[block] + PRIOR_CLIPS * common) / (freedom + PRIOR_CLIPS)
            scale[block] = np.sqrt(share / width / variance)
    return scale
