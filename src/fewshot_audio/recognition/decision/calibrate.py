"""Calibration on the enrolled clips, each left out: temperature, weights of blocks in distances, and a threshold."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from fewshot_audio.recognition.decision.examples import Floats
from fewshot_audio.recognition.decision.left_out import LeftOut

PRIOR_TEMPERATURE, PRIOR_TEMPERATURE_WEIGHT = 1.0, 3.0
"""Probabilities of logistic regression are about right as they are; departing from it by a factor of e has to improve
the log-likelihood of the enrolled clips by this weight."""

PRIOR_SPREAD, PRIOR_SPREAD_CLIPS = 0.15, 5.0
"""Standard deviation of the logarithm of unknown scores of known sounds, as other collections have it, and its weight
in clips."""

LEFT_OUT_EXCESS = 0.5
"""By how much the logarithm of an unknown score is larger for a clip that is left out than for a new one, times the
degrees of freedom within classes: what is judged by fewer clips looks farther away. Collections for development have
0.05 at 12 degrees of freedom, 0.01 at 40."""
LEAST_FREEDOM = 10
"""Below it the excess was not measured, and none is taken off."""

LEAST_OF_MIDDLE = 0.25
"""Part of the middle unknown score of enrolled clips below which scores do not widen the spread."""

_TEMPERATURES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 93))
_LEAST_PROBABILITY = 1e-12
_LEAST_SCORE = 1e-6


def fit_temperature(left_out: LeftOut) -> float:
    """The temperature under which the enrolled clips, left out, are most likely; shrunk towards 1."""
    labels = left_out.examples.labels

    def cost(temperature: float) -> float:
        own = left_out.probabilities(temperature)[np.arange(len(labels)), labels]
        departure = np.log(temperature / PRIOR_TEMPERATURE) ** 2
        return float(-np.log(np.maximum(own, _LEAST_PROBABILITY)).sum() + PRIOR_TEMPERATURE_WEIGHT * departure)

    return float(min(_TEMPERATURES, key=cost))


def most_telling(left_out: LeftOut) -> int:
    """Which choice of shares tells best a sound of no class: each class in turn is taken for unknown.

    Clips whose own class is left out of the distances stand for unknown sounds, the same clips with it for known ones;
    the choice with the largest area under the ROC curve is the best, of equal ones the first.
    """
    labels = left_out.examples.labels
    areas = []
    for distances in left_out.distances:
        without_own = distances.copy()
        without_own[np.arange(len(labels)), labels] = np.inf
        areas.append(_area(distances.min(axis=1), without_own.min(axis=1)))
    return int(np.argmax(areas))


def fit_threshold(scores: Floats, false_alarm: float, freedom: float) -> float:
    """The unknown score that ``false_alarm`` of the clips of enrolled classes exceed.

    Logarithms of unknown scores are about normal; their deviation is shrunk towards that of other collections, for five
    clips of a class do not show their own 95th percentile. Scores far below the middle one are those of clips that were
    judged by copies of themselves: they count as ``LEAST_OF_MIDDLE`` of it, and not at all if they are 0.

    Args:
        scores: unknown scores of the enrolled clips, each left out, (clips,).
        false_alarm: share, between 0 and 1.
        freedom: clips beyond the first of each class.
    """
    logarithms = np.log(scores[scores > _LEAST_SCORE]) if (scores > _LEAST_SCORE).any() else np.zeros(1)
    logarithms = np.maximum(logarithms, np.median(logarithms) + np.log(LEAST_OF_MIDDLE))
    squares = np.square(logarithms - logarithms.mean()).sum() + PRIOR_SPREAD_CLIPS * PRIOR_SPREAD**2
    deviation = np.sqrt(squares / (len(logarithms) - 1 + PRIOR_SPREAD_CLIPS))
    excess = LEFT_OUT_EXCESS / freedom if freedom >= LEAST_FREEDOM else 0.0
    middle = logarithms.mean() - excess
    return float(np.exp(middle + NormalDist().inv_cdf(1 - false_alarm) * deviation))


def _area(known: Floats, unknown: Sequence[float] | Floats) -> float:
    """Probability that an unknown score exceeds a known one; ties count half."""
    ordered = np.sort(known)
    below, upto = (np.searchsorted(ordered, unknown, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(known))
