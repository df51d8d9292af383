"""Linear models of frames: how much each sounds like a part of an example, by its levels and by what is heard in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fewshot_audio.events.detection.frames import Frames, Numbers
from fewshot_audio.events.detection.hearing import HeardFrames

NEIGHBORS = 5
"""Frames over which a frame is averaged beside itself."""
_REGULARIZATION = 1e-2


@dataclass(frozen=True)
class FrameModel:
    """Log-odds that a frame is one of an example's, by two models.

    Args:
        level_weights: of a frame's bands, and of their means over ``NEIGHBORS`` frames (2 * bands,).
        level_offset: added to their sum.
        embedding_weights: of a frame's embedding (width,).
        embedding_offset: added to their sum.
    """

    level_weights: Numbers
    level_offset: float
    embedding_weights: Numbers
    embedding_offset: float

    @classmethod
    def fit(
        cls,
        excerpts: Sequence[HeardFrames],
        is_event: Sequence[NDArray[np.bool_]],
        used: Sequence[NDArray[np.bool_]],
    ) -> Self:
        """Fit frames of events against others.

        Args:
            excerpts: the frames.
            is_event: of each excerpt's frames, those of events.
            used: those that are learned from; of either kind there is one.
        """
        labels = np.concatenate([own[chosen] for own, chosen in zip(is_event, used, strict=True)])
        levels = np.concatenate([_level_inputs(own.levels)[chosen] for own, chosen in zip(excerpts, used, strict=True)])
        embeddings = np.concatenate([own.embeddings[chosen] for own, chosen in zip(excerpts, used, strict=True)])
        mean, deviation = embeddings.mean(axis=0), embeddings.std(axis=0) + 1e-3
        by_levels, by_embeddings = _fit(levels, labels), _fit((embeddings - mean) / deviation, labels)
        weights = by_embeddings.coef_[0] / deviation
        offset = float(by_embeddings.intercept_[0] - mean @ weights)
        return cls(by_levels.coef_[0], float(by_levels.intercept_[0]), weights, offset)

    def likeness(self, frames: HeardFrames) -> tuple[Numbers, Numbers]:
        """Log-odds by levels, and by embeddings, (frames,) each."""
        return (
            _level_inputs(frames.levels) @ self.level_weights + self.level_offset,
            frames.embeddings @ self.embedding_weights + self.embedding_offset,
        )


def _level_inputs(levels: Frames) -> Frames:
    """Shape: (frames, bands) -> (frames, 2 * bands)."""
    return np.concatenate([levels, uniform_filter1d(levels, NEIGHBORS, axis=0)], axis=1)


def _fit(inputs: Frames, labels: NDArray[np.bool_]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=_REGULARIZATION, class_weight="balanced", max_iter=100).fit(inputs, labels)
