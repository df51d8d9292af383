"""How far a clip is from the enrolled classes, in units of what is expected: it tells sounds of no class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.examples import Counts, Floats
from fewshot_audio.recognition.decision.variances import (
    PRIOR_CLIPS,
    by_block,
    class_means,
    freedom,
    varying,
    within_classes,
)


@dataclass(frozen=True)
class ClassDistances:
    """Class means, in numbers that are scaled by their deviation within classes.

    Args:
        scale: factor of each number, (width,); 0 for one that does not vary.
        means: of the classes, scaled, (classes, width).
        expected: distance of a new clip of each class to its mean, (classes,).
    """

    scale: Floats
    means: Floats
    expected: Floats

    @classmethod
    def fit(cls, clips: Floats, labels: Counts, blocks: Sequence[tuple[int, float]]) -> "ClassDistances":
        """Fit to clips.

        Numbers are scaled by the power -3/2 of their variance within classes, relative to their block: those that vary
        less tell more. That variance is shrunk towards the mean of its block, and a class's variance towards that
        of all classes. The mean of K clips errs by 1 / K of the class's variance, so a new clip's squared distance is
        expected to be the variance x (1 + 1 / K).

        Args:
            clips: standardized, (clips, width).
            labels: their classes, (clips,).
            blocks: width of each block, and how much it counts in squared distances.
        """
        counts, means = np.bincount(labels), class_means(clips, labels)
        residuals = clips - means[labels]
        varies, widths = varying(clips, [width for width, _ in blocks])
        variance = within_classes(residuals if varies.all() else residuals[:, varies], labels, widths)
        shares = np.repeat([share / max(1, count) for count, (_, share) in zip(widths, blocks, strict=True)], widths)
        common = by_block(variance, widths)
        safe = np.where(variance > 0, variance, np.inf)
        scale = np.zeros(len(varies))
        scale[varies] = np.sqrt(shares * common**2 / safe**3)
        squares = np.bincount(labels, weights=np.square(residuals * scale).sum(axis=1))
        mean_variance = squares.sum() / freedom(labels) or 1.0
        variances = (squares + PRIOR_CLIPS * mean_variance) / (counts - 1 + PRIOR_CLIPS)
        return cls(scale, means * scale, np.sqrt(variances * (1 + 1 / counts)))

    def __call__(self, clips: Floats) -> Floats:
        """Distances over the expected ones. Shape: (clips, width) -> (clips, classes)."""
        points = self.points(clips)
        squares = np.square(points).sum(axis=1)[:, None] + np.square(self.means).sum(axis=1) - 2 * points @ self.means.T
        distances: Floats = np.sqrt(np.maximum(squares, 0.0)) / self.expected
        return distances

    def points(self, clips: Floats) -> Floats:
        """Clips where they are compared with the means of classes. Shape: (clips, width) -> (clips, width)."""
        return clips * self.scale
