"""Principal component analysis: embeddings projected to two dimensions for a picture."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PrincipalComponents:
    """The first two principal axes of some embeddings, onto which these and new embeddings are projected.

    Attributes:
        center: mean embedding (width,).
        axes: orthonormal axes (2, width); an axis without variance is all zeros.
        explained: the axes' shares of the variance.
    """

    center: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: tuple[float, float]

    @classmethod
    def fit(cls, embeddings: Floats) -> Self:
        """Fit to embeddings (n, width).

        The largest component of each axis is positive, so that its sign does not depend on the algorithm.
        """
        values = embeddings.astype(np.float64)
        center = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        _, singular, rows = np.linalg.svd(values - center, full_matrices=False)
        axes, variance = np.zeros((2, values.shape[1])), np.zeros(2)
        rank = min(2, int((singular > 1e-9 * max(1.0, float(np.abs(values).max(initial=0)))).sum()))
        axes[:rank], variance[:rank] = rows[:rank], np.square(singular[:rank])
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes *= np.where(largest < 0, -1, 1)
        total = float(np.square(singular).sum())
        first, second = (float(value) / total if total > 0 else 0.0 for value in variance)
        return cls(center, axes, (first, second))

    def project(self, embeddings: Floats) -> NDArray[np.float64]:
        """Project embeddings onto the axes.

        Shape:
            (..., width) -> (..., 2).
        """
        points: NDArray[np.float64] = (embeddings - self.center) @ self.axes.T
        return points
