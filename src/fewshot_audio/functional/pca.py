"""Embeddings on a plane, to be looked at."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Plane:
    """The first two principal axes of some embeddings: the same for the same clips, and for every new clip.

    ``center`` (width,), ``axes`` (2, width), ``explained``: the axes' shares of the variance.
    """

    center: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: tuple[float, float]

    @classmethod
    def fit(cls, embeddings: Floats) -> Self:
        """Fit to embeddings (n, width). An axis without variance is all zeros.

        An axis points to where its largest component is positive, so that its sign does not depend on the algorithm.
        """
        values = embeddings.astype(np.float64)
        center = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        _, sizes, rows = np.linalg.svd(values - center, full_matrices=False)
        axes, variance = np.zeros((2, values.shape[1])), np.zeros(2)
        shown = min(2, int((sizes > 1e-9 * max(1.0, float(np.abs(values).max(initial=0)))).sum()))
        axes[:shown], variance[:shown] = rows[:shown], np.square(sizes[:shown])
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes *= np.where(largest < 0, -1, 1)
        total = float(np.square(sizes).sum())
        first, second = (float(value) / total if total > 0 else 0.0 for value in variance)
        return cls(center, axes, (first, second))

    def place(self, embeddings: Floats) -> NDArray[np.float64]:
        """Shape: (..., width) -> (..., 2)."""
        placed: NDArray[np.float64] = (embeddings - self.center) @ self.axes.T
        return placed
