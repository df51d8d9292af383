"""What describes a window of a recording: how it sounds in its parts and on its flanks, however long it is."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fewshot_audio.events.detection.frames import Excerpt, Frames

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]

PARTS = 4
LOUDEST, FAINTEST = 35.0, -5.0
"""dB above the noise floor that count, at most and at least."""
NEIGHBORS = 5
"""Frames over which a frame is averaged beside itself."""
SHORTEST = 3  # frames


@dataclass(frozen=True)
class FrameModel:
    """A linear model of frames: how much one sounds like a part of an example.

    Args:
        weights: of a frame's bands, and of their means over ``NEIGHBORS`` frames (2 * bands,).
        offset: added to their sum.
        faintest: power that counts as nothing, so that digital silence has finite levels.
    """

    weights: Numbers
    offset: float
    faintest: float

    def score(self, levels: Frames) -> Numbers:
        """Shape: (frames, bands) -> (frames,)."""
        return frame_inputs(levels) @ self.weights + self.offset


def frame_levels(excerpt: Excerpt, faintest: float) -> Frames:
    """How far each band is above its noise floor, in units of 10 dB. Shape: -> (frames, bands)."""
    ratio = np.maximum(excerpt.power, faintest) / np.maximum(excerpt.floor, faintest)
    return (np.clip(10.0 * np.log10(ratio), FAINTEST, LOUDEST) / 10.0).astype(np.float32)


def frame_inputs(levels: Frames) -> Frames:
    """What the model of frames takes. Shape: (frames, bands) -> (frames, 2 * bands)."""
    return np.concatenate([levels, uniform_filter1d(levels, NEIGHBORS, axis=0)], axis=1)


class WindowFeatures:
    """Features of windows of an excerpt.

    Args:
        levels: ``frame_levels`` of the excerpt (frames, bands).
        model: of its frames.
    """

    def __init__(self, levels: Frames, model: FrameModel) -> None:
        self.levels = levels
        self.likeness = model.score(levels)
        self._sums, self._squares = _sums(levels), _sums(np.square(levels))
        self._likeness_sums = _sums(self.likeness[:, None])

    def rows(self, starts: Integers, lengths: Integers) -> Frames:
        """Describe windows.

        In each band: the means of ``PARTS`` equal parts, the standard deviation over the whole, the mean of each flank
        (a quarter as long); the logarithm of the length; and of the likeness its means in the parts and flanks, how
        these differ, and how it steps at onset and offset.

        Args:
            starts: first frames (windows,).
            lengths: frames (windows,).

        Shape:
            -> (windows, bands * (PARTS + 3) + 13), float32.
        """
        edges = [np.round(starts + lengths * part / PARTS).astype(np.int64) for part in range(PARTS + 1)]
        ends, flank = starts + lengths, np.maximum(3, lengths // 4)
        mean = self._mean(self._sums, starts, ends)
        variance = self._mean(self._squares, starts, ends) - np.square(mean)
        columns = [self._mean(self._sums, *pair) for pair in pairwise(edges)]
        columns += [
            np.sqrt(np.maximum(variance, 0.0)),
            self._mean(self._sums, starts - flank, starts),
            self._mean(self._sums, ends, ends + flank),
            np.log(lengths)[:, None],
            self._contrasts(starts, ends, flank, edges),
        ]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _contrasts(self, starts: Integers, ends: Integers, flank: Integers, edges: list[Integers]) -> Numbers:
        def likeness(first: Integers, last: Integers) -> Numbers:
            return self._mean(self._likeness_sums, first, last)[:, 0]

        parts = np.stack([likeness(*pair) for pair in pairwise(edges)], axis=1)
        before, after, inside = likeness(starts - flank, starts), likeness(ends, ends + flank), parts.mean(axis=1)
        step = np.maximum(2, (ends - starts) // 10)
        columns = [
            parts.min(axis=1),
            parts.max(axis=1),
            inside,
            before,
            after,
            inside - np.maximum(before, after),
            parts[:, 0] - before,
            parts[:, -1] - after,
            np.minimum(inside - before, inside - after),
            np.maximum(before, after),
            likeness(starts, starts + step) - likeness(starts - step, starts),
            likeness(ends - step, ends) - likeness(ends, ends + step),
        ]
        return np.stack(columns, axis=1)

    def _mean(self, sums: Numbers, first: Integers, last: Integers) -> Numbers:
        """Means over frames; what lies outside of the excerpt is left out."""
        count = len(self.levels)
        first = np.clip(first, 0, count - 1)
        last = np.maximum(np.clip(last, 0, count), first + 1)
        means: Numbers = (sums[last] - sums[first]) / (last - first)[:, None]
        return means


def _sums(values: NDArray[np.floating]) -> Numbers:
    """Sums up to each frame. Shape: (frames, columns) -> (frames + 1, columns)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums
