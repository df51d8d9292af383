"""What describes a window of a recording: how it sounds in its parts and on its flanks, however long it is."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import N_MELS, Frames, Integers, Numbers
from fewshot_audio.events.detection.hearing import HeardFrames

PARTS = 4
SHORTEST = 3  # frames
LOUDEST = 3.0
"""Of a frame's levels, in its loudness."""
LEVEL_WIDTH = N_MELS * (PARTS + 3) + 1
"""Of a window's features, the first ones, which are of its levels and length; the rest is of what is heard in it."""
CONTRASTS = 12
"""Of a window's features, those of each curve but loudness."""
_CHUNK = 1024
"""Windows that are described at once; eight minutes may have thirty thousand."""


class WindowFeatures:
    """Features of windows of an excerpt.

    Args:
        frames: of the excerpt.
        model: of its frames.
    """

    def __init__(self, frames: HeardFrames, model: FrameModel) -> None:
        by_levels, by_embeddings = model.likeness(frames)
        loudness = np.clip(frames.levels, 0.0, LOUDEST).mean(axis=1, dtype=np.float64)
        self.curves = (loudness, by_levels, by_embeddings, frames.presence.astype(np.float64))
        """Of frames: loudness, likeness by levels and by embeddings, and presence."""
        self._sums, self._squares = _sums(frames.levels), _sums(np.square(frames.levels))
        self._embeddings = _sums(frames.embeddings)
        self._curve_sums = [_sums(curve[:, None]) for curve in self.curves[1:]]

    def rows(self, starts: Integers, lengths: Integers) -> Frames:
        """Describe windows.

        In each band: the means of ``PARTS`` equal parts, the standard deviation over the whole, the mean of each flank
        (a quarter as long). Then the logarithm of the length. Then, for each curve but loudness: its means in the parts
        and flanks, how these differ, and how it steps at onset and offset. At last the direction of the mean embedding.

        Args:
            starts: first frames (windows,).
            lengths: frames (windows,).

        Shape:
            -> (windows, LEVEL_WIDTH + 3 x CONTRASTS + width of an embedding), float32.
        """
        width = LEVEL_WIDTH + CONTRASTS * len(self._curve_sums) + self._embeddings.shape[1]
        rows = np.empty((len(starts), width), np.float32)
        for first in range(0, len(starts), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            rows[chunk] = self._rows(starts[chunk], lengths[chunk])
        return rows

    def _rows(self, starts: Integers, lengths: Integers) -> Numbers:
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
        ]
        columns += [self._contrasts(sums, starts, ends, flank, edges) for sums in self._curve_sums]
        embedding = self._mean(self._embeddings, starts, ends)
        columns.append(embedding / (np.linalg.norm(embedding, axis=1, keepdims=True) + 1e-6))
        return np.concatenate(columns, axis=1)

    def _contrasts(
        self, sums: Numbers, starts: Integers, ends: Integers, flank: Integers, edges: list[Integers]
    ) -> Numbers:
        def mean(first: Integers, last: Integers) -> Numbers:
            return self._mean(sums, first, last)[:, 0]

        parts = np.stack([mean(*pair) for pair in pairwise(edges)], axis=1)
        before, after, inside = mean(starts - flank, starts), mean(ends, ends + flank), parts.mean(axis=1)
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
            mean(starts, starts + step) - mean(starts - step, starts),
            mean(ends - step, ends) - mean(ends, ends + step),
        ]
        return np.stack(columns, axis=1)

    def _mean(self, sums: Numbers, first: Integers, last: Integers) -> Numbers:
        """Means over frames; what lies outside of the excerpt is left out."""
        count = len(sums) - 1
        first = np.clip(first, 0, count - 1)
        last = np.maximum(np.clip(last, 0, count), first + 1)
        means: Numbers = (sums[last] - sums[first]) / (last - first)[:, None]
        return means


def _sums(values: NDArray[np.floating]) -> Numbers:
    """Sums up to each frame. Shape: (frames, columns) -> (frames + 1, columns)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums
