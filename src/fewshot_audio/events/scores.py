"""Scores of detections: precision, recall, F1 and average precision, with intervals, from their outcomes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.outcomes import Outcome

DRAWS = 2000
MAX_POINTS = 200
FEW_RECORDINGS = 5
MAX_DRAWN = 2_000_000


@dataclass(frozen=True)
class CurvePoint:
    """What the detections of a score of ``threshold`` or more amount to."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class EventScore:
    """The score of a group of outcomes, such as those of a label. What cannot be said is None.

    Attributes:
        events: how many events were to be found.
        right: detections that are matched with one.
        wrong: detections that are matched with none.
        missed: events that were not found.
        left_out: detections that are neither right nor wrong.
        precision: share of the right ones in the detections.
        recall: share of the found ones in the events.
        f1: their harmonic mean.
        f1_interval: its 95 % interval, by bootstrap over recordings, or over events if there are fewer than
            ``FEW_RECORDINGS`` of them.
        average_precision: mean precision over the recall, as the threshold falls.
        onset_error: median of the absolute difference of a right detection's start from its event's, in seconds.
        offset_error: the same of ends.
        onset_bias: median difference of the starts; above 0 if detections begin too late.
        offset_bias: the same of ends.
    """

    events: int
    right: int
    wrong: int
    missed: int
    left_out: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: tuple[float, float] | None
    average_precision: float | None
    onset_error: float | None
    offset_error: float | None
    onset_bias: float | None
    offset_bias: float | None


def score_outcomes(outcomes: Sequence[Outcome], recordings: Sequence[object], seed: int = 0) -> EventScore:
    """Sum up outcomes.

    Args:
        outcomes: one or more.
        recordings: that of each outcome.
        seed: of the bootstrap.
    """
    events, right, wrong = (sum(counts) for counts in zip(*map(_counts, outcomes), strict=True))
    onsets = np.concatenate([outcome.onset_errors for outcome in outcomes])
    offsets = np.concatenate([outcome.offset_errors for outcome in outcomes])
    points = _points(outcomes)
    return EventScore(
        events,
        right,
        wrong,
        events - right,
        sum(outcome.left_out for outcome in outcomes),
        _ratio(right, right + wrong),
        _ratio(right, events),
        _ratio(2 * right, events + right + wrong),
        _f1_interval(outcomes, recordings, seed),
        _average_precision(points, events),
        _median(np.abs(onsets)),
        _median(np.abs(offsets)),
        _median(onsets),
        _median(offsets),
    )


def curve(outcomes: Sequence[Outcome]) -> list[CurvePoint]:
    """Precision and recall at each threshold, the highest first."""
    events = sum(outcome.n_events for outcome in outcomes)
    if not events:
        return []
    return [
        CurvePoint(threshold, right / counted, right / events, 2 * right / (events + counted))
        for threshold, right, counted in zip(*(column.tolist() for column in _points(outcomes)), strict=True)
    ]


def thinned(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """At most ``MAX_POINTS`` of the points of a curve, evenly chosen, with the first and the last."""
    if len(points) <= MAX_POINTS:
        return list(points)
    return [points[number] for number in np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int)]


def harmonic_mean(values: Sequence[float | None]) -> float | None:
    """The harmonic mean of the values that are there; 0 if one is 0."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    return 0.0 if min(numbers) == 0 else len(numbers) / math.fsum(1 / value for value in numbers)


_Points = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def _points(outcomes: Sequence[Outcome]) -> _Points:
    """Distinct scores, falling, and how many detections of that score or more are right, and count."""
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    is_right = np.concatenate([outcome.is_right for outcome in outcomes])
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(is_right[order])
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True)) if len(scores) else np.empty(0, np.int64)
    return scores[last], right[last], last + 1


def _average_precision(points: _Points, events: int) -> float | None:
    _, right, counted = points
    if not events:
        return None
    return float((np.diff(right, prepend=0) * right / counted).sum() / events)


def _f1_interval(outcomes: Sequence[Outcome], recordings: Sequence[object], seed: int) -> tuple[float, float] | None:
    sums: dict[object, NDArray[np.int64]] = {}
    for outcome, recording in zip(outcomes, recordings, strict=True):
        sums[recording] = sums.get(recording, np.zeros(3, np.int64)) + np.array(_counts(outcome))
    if len(sums) >= FEW_RECORDINGS:
        units, sizes = np.stack(list(sums.values())), np.ones(len(sums))
    else:  # of few recordings: events that were found, that were not, and wrong detections
        events, right, wrong = sum(sums.values(), np.zeros(3, np.int64))
        units, sizes = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]]), np.array([right, events - right, wrong], float)
    total = int(sizes.sum())
    if total < 2:
        return None
    generator, size = np.random.default_rng(seed), max(1, MAX_DRAWN // len(units))
    blocks = [min(size, DRAWS - start) for start in range(0, DRAWS, size)]  # so that memory is bounded
    draws = [generator.multinomial(total, sizes / sizes.sum(), size=block) @ units for block in blocks]
    events, right, wrong = np.concatenate(draws).T
    known = events + right + wrong > 0
    f1 = 2 * right[known] / (events + right + wrong)[known]
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)


def _counts(outcome: Outcome) -> tuple[int, int, int]:
    right = int(outcome.is_right.sum())
    return outcome.n_events, right, len(outcome.is_right) - right


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
