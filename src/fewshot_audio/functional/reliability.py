"""Calibration of probabilities: how often answers with a given probability are right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """The calibration curve (reliability diagram): answers by their probability, in bins of equal width.

    Attributes:
        confidence: mean probability of each bin's answers; 0 in an empty bin.
        accuracy: share of each bin's answers that are right; 0 in an empty bin.
        counts: number of answers in each bin.
        ece: expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599): the mean of
            |confidence - accuracy|, weighted by count.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]
    ece: float


def reliability(probability: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Compare the probabilities of answers with whether the answers are right.

    Bins are [low, high), the last one closed. Guo et al. have (low, high], which differs on the borders only.

    Args:
        probability: probability of each answer (n,), n >= 1.
        right: whether each answer is right (n,).
        bins: number of bins.
    """
    bin_index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_index, minlength=bins)
    divisor = np.maximum(counts, 1)
    confidence = np.bincount(bin_index, weights=probability, minlength=bins) / divisor
    accuracy = np.bincount(bin_index, weights=right, minlength=bins) / divisor
    ece = float((counts * np.abs(confidence - accuracy)).sum() / len(probability))
    return Reliability(confidence, accuracy, counts, ece)
