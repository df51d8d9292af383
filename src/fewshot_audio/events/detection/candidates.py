"""Candidates: windows that events may be, by where the recording is louder, or more like the examples, than around."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fewshot_audio.events.detection.frames import Integers, Numbers
from fewshot_audio.events.detection.windows import SHORTEST

LEVELS = 12
LOWEST_QUANTILE, HIGHEST_QUANTILE = 0.5, 0.99
SMOOTHING = (0.05, 0.15)
"""Standard deviations of the Gaussian, as parts of the median example."""
SHORTEST_PART, LONGEST_PART = 0.4, 2.0
"""Lengths of candidates, as parts of the shortest and the longest example."""
_ROWS = 256
REACH = 4
"""Standard deviations at which the Gaussian ends."""


Times: TypeAlias = Numbers | Integers
"""Seconds, or numbers of frames."""


@dataclass(frozen=True)
class Proposer:
    """Where each curve of a recording stays above a level, there is a candidate; the levels are those of the examples.

    Args:
        deviations: of the Gaussians, in frames.
        shortest: frames of a candidate, at least.
        longest: frames of a candidate, at most.
        levels: of each curve, in the order of ``_smoothed`` (curves, LEVELS).
    """

    deviations: tuple[float, ...]
    shortest: int
    longest: int
    levels: Numbers

    @classmethod
    def fit(cls, lengths: Integers, excerpts: Sequence[Sequence[Numbers]]) -> "Proposer":
        """Take lengths from those of the examples, in frames, and levels from the excerpts' curves."""
        deviations = tuple(max(0.5, part * float(np.median(lengths))) for part in SMOOTHING)
        curves = [_smoothed(own, deviations) for own in excerpts]
        quantiles = np.linspace(LOWEST_QUANTILE, HIGHEST_QUANTILE, LEVELS)
        levels = [np.quantile(np.concatenate(parts), quantiles) for parts in zip(*curves, strict=True)]
        shortest = max(SHORTEST, int(np.ceil(SHORTEST_PART * lengths.min())))
        return cls(deviations, shortest, max(shortest + 1, int(LONGEST_PART * lengths.max())), np.stack(levels))

    def propose(self, curves: Sequence[Numbers]) -> tuple[Integers, Integers]:
        """First frames and lengths of the candidates in an excerpt, each once, in order."""
        pairs: list[Integers] = []
        for curve, own in zip(_smoothed(curves, self.deviations), self.levels, strict=True):
            for level in own:
                steps = np.diff(np.concatenate([[0], (curve > level).astype(np.int8), [0]]))
                starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
                fits = (ends - starts >= self.shortest) & (ends - starts <= self.longest)
                pairs.append(np.stack([starts[fits], ends[fits] - starts[fits]], axis=1))
        unique = np.unique(np.concatenate(pairs), axis=0)
        return unique[:, 0], unique[:, 1]


def _smoothed(curves: Sequence[Numbers], deviations: tuple[float, ...]) -> list[Numbers]:
    """Each curve, smoothed by each Gaussian."""
    return [gaussian_filter1d(curve, deviation, truncate=REACH) for curve in curves for deviation in deviations]


def overlap(starts: Times, ends: Times, other_starts: Times, other_ends: Times) -> Numbers:
    """Intersection over union of each interval with each of the others. Shape: (n,), (n,), (m,), (m,) -> (n, m)."""
    common = np.minimum(ends[:, None], other_ends) - np.maximum(starts[:, None], other_starts)
    union = np.maximum(ends[:, None], other_ends) - np.minimum(starts[:, None], other_starts)
    shares: Numbers = np.maximum(common, 0.0) / np.maximum(union, 1e-9)
    return shares


def agreement(starts: Numbers, ends: Numbers, log_odds: Numbers) -> Numbers:
    """How much all candidates speak for each: the sum of their probabilities, times their overlap with it.

    Of the many candidates around an event, the one in best agreement has its onset and offset rather than the one of
    the highest score, which is often a part of it.

    Shape:
        (n,), (n,), (n,) -> (n,).
    """
    order = np.argsort(starts, kind="stable")
    first, last, weights = starts[order], ends[order], 1.0 / (1.0 + np.exp(-log_odds[order]))
    longest = float((last - first).max(initial=0.0))
    sums = np.empty(len(order))
    for begin in range(0, len(order), _ROWS):
        rows = slice(begin, begin + _ROWS)
        # Only these can overlap: in order of their starts, from the longest before the first row to the last end.
        near = slice(*np.searchsorted(first, [first[begin] - longest, last[rows].max()]))
        sums[rows] = overlap(first[rows], last[rows], first[near], last[near]) @ weights[near]
    result = np.empty(len(order))
    result[order] = sums
    return result


def best_apart(starts: Numbers, ends: Numbers, scores: Numbers, share: float = 0.25) -> Integers:
    """Numbers of the best intervals, of which none covers more than ``share`` of a better one or is so covered by it.

    Returns:
        Their numbers, the best first.
    """
    order = np.argsort(-scores, kind="stable")
    first, last = starts[order], ends[order]
    lengths, open_ = last - first, np.ones(len(order), bool)
    kept = []
    for number in range(len(order)):
        if open_[number]:
            kept.append(number)
            common = np.minimum(last, last[number]) - np.maximum(first, first[number])
            open_ &= ~(common > share * np.minimum(lengths, lengths[number]))
    return order[kept]
