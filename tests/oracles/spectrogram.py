"""SpecAugment on one spectrogram: a list of mel rows, each a list of frames."""

import math
from collections.abc import Sequence

from tests.oracles.algebra import Matrix

Spans = Sequence[tuple[int, int]]  # (start, width)


def time_warp(x: Matrix, source: int, shift: int) -> list[list[float]]:
    """The point at `source` lands on `source + shift`; both ends stay; linear in between."""
    frames = len(x[0])
    if shift == 0:
        return [list(row) for row in x]
    target = min(max(source + shift, 1), frames - 2)
    last = frames - 1
    warped = []
    for row in x:
        out = []
        for t in range(frames):
            before = source * t / target
            after = source + (last - source) * (t - target) / (last - target)
            position = before if t <= target else after
            left = min(math.floor(position), last - 1)
            share = position - left
            out.append((1 - share) * row[left] + share * row[left + 1])
        warped.append(out)
    return warped


def time_mask(x: Matrix, spans: Spans, value: float) -> list[list[float]]:
    return [[value if _covered(t, spans) else cell for t, cell in enumerate(row)] for row in x]


def frequency_mask(x: Matrix, spans: Spans, value: float) -> list[list[float]]:
    return [[value if _covered(f, spans) else cell for cell in row] for f, row in enumerate(x)]


def _covered(position: int, spans: Spans) -> bool:
    return any(start <= position < start + width for start, width in spans)
