"""Whether probabilities are what they claim."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Answers by their probability, in bins of equal width: mean probability, share of right answers, count.

    ``ece`` is the expected calibration error (Guo et al. 2017): the mean distance of the two, weighted by count.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]
    ece: float


def reliability(probability: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Compare the probabilities of answers with whether they were right. Shape: both (answers,), at least one.

    Bins are [low, high), the last one closed; Guo et al. have (low, high], which differs on the borders only.
    """
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    divisor = np.maximum(counts, 1)
    confidence = np.bincount(place, weights=probability, minlength=bins) / divisor
    accuracy = np.bincount(place, weights=right, minlength=bins) / divisor
    ece = float((counts * np.abs(confidence - accuracy)).sum() / len(probability))
    return Reliability(confidence, accuracy, counts, ece)
