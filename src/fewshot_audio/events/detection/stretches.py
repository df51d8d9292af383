"""Audible stretches of a recording: where it is louder than around, whatever sounds there."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fewshot_audio.events.detection.frames import Excerpt, Frames, Integers, Numbers
from fewshot_audio.events.detection.hearing import faintest_beside, frame_levels

STEP = 2
"""Frames of 5 ms that count as one."""
FRAMES_PER_SECOND = 100
SHORTEST = 0.03
"""Seconds of a stretch, at least."""
DEVIATIONS = (1.0, 3.0, 9.0, 27.0)
"""Standard deviations, in frames, of the Gaussians by which loudness is smoothed."""
LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 18.0)
"""dB above the median loudness."""
LOUDEST_BANDS = 16
FLANK = 0.5
"""Length of what is on either side of a stretch and compared with it, as a part of the stretch."""
LEAST_FLANK = 5  # frames
MOST_SHARED = 0.7
"""Intersection over union of two stretches, at most; of others the one that stands out less is left out."""
MOST_A_MINUTE = 100


@dataclass(frozen=True)
class Stretches:
    """Stretches of an excerpt, by the frames of the recording in which they begin, and behind which they end."""

    starts: Integers
    ends: Integers


def audible_stretches(excerpt: Excerpt, longest: int) -> Stretches:
    """Where an excerpt's core is louder than around.

    The loudness of a frame is the mean of its ``LOUDEST_BANDS`` bands that are furthest above their noise floor, in dB.
    Smoothed by each Gaussian, wherever it stays above a level, there is a stretch: many for every event, so that its
    onset and offset need not be known. Those that stand out most are kept, ``MOST_A_MINUTE`` at most: a stretch stands
    out by how much louder it is than its flanks, times its duration.

    Args:
        excerpt: of ``STEP`` frames of 5 ms each.
        longest: frames of a stretch, at most.
    """
    loudness = frame_loudness(excerpt)
    pairs = [_above(gaussian_filter1d(loudness, each), longest) for each in DEVIATIONS]
    unique = np.unique(np.concatenate(pairs), axis=0)
    core = np.array(excerpt.core) - excerpt.first
    middles = unique.sum(axis=1) / 2
    unique = unique[(middles >= core[0]) & (middles < core[1])]
    starts, ends = unique[:, 0], unique[:, 1]
    most = max(1, round(MOST_A_MINUTE * (core[1] - core[0]) / (60 * FRAMES_PER_SECOND)))
    kept = np.sort(_distinct(starts, ends, _prominence(loudness, starts, ends), most))
    return Stretches(starts[kept] + excerpt.first, ends[kept] + excerpt.first)


def frame_loudness(excerpt: Excerpt) -> Numbers:
    """How loud each frame is, in dB above the noise floor, beside the excerpt's median. Shape: -> (frames,)."""
    levels: Frames = frame_levels(excerpt, faintest_beside(float(excerpt.power.mean())))
    loudest = np.partition(levels, -LOUDEST_BANDS, axis=1)[:, -LOUDEST_BANDS:]
    loudness: Numbers = 10.0 * loudest.mean(axis=1, dtype=np.float64)
    return loudness - np.median(loudness)


def _above(loudness: Numbers, longest: int) -> Integers:
    """Stretches above each level, as long as events may be. Shape: (frames,) -> (stretches, 2)."""
    pairs = []
    for level in LEVELS:
        steps = np.diff(np.concatenate([[0], (loudness > level).astype(np.int8), [0]]))
        own = np.stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)], axis=1)
        lengths = own[:, 1] - own[:, 0]
        pairs.append(own[(lengths >= SHORTEST * FRAMES_PER_SECOND) & (lengths <= longest)])
    return np.concatenate(pairs)


def _prominence(loudness: Numbers, starts: Integers, ends: Integers) -> Numbers:
    """How much louder stretches are than what is on either side, times their duration. Shape: (n,), (n,) -> (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(loudness)])
    lengths = ends - starts
    flanks = np.maximum(LEAST_FLANK, np.round(FLANK * lengths).astype(np.int64))
    first, last = np.maximum(0, starts - flanks), np.minimum(len(loudness), ends + flanks)
    beside = (sums[last] - sums[ends] + sums[starts] - sums[first]) / np.maximum(1, last - first - lengths)
    values: Numbers = sums[ends] - sums[starts] - beside * lengths
    return values


def _distinct(starts: Integers, ends: Integers, values: Numbers, most: int) -> Integers:
    """Numbers of those of the highest values that share little with a better one, the best first, at most ``most``."""
    order = np.argsort(-values, kind="stable")
    first, last = starts[order], ends[order]
    is_open, kept = np.ones(len(order), bool), list[int]()
    for number in range(len(order)):
        if is_open[number]:
            kept.append(number)
            if len(kept) == most:
                break
            common = np.minimum(last, last[number]) - np.maximum(first, first[number])
            is_open &= common <= MOST_SHARED * (np.maximum(last, last[number]) - np.minimum(first, first[number]))
    return order[kept]
