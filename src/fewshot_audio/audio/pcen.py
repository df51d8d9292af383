"""Per-channel energy normalization (Wang et al. 2017): its parameters, and the smoothing that it divides by.

    PCEN[t] = (E[t] / (EPS + M[t]) ** GAIN + BIAS) ** POWER - BIAS ** POWER,    M[t] = (1 - s) M[t - 1] + s E[t]

E are mel energies, M is a moving average of each mel bin over the frames. It begins at M[0] = E[0], anew in each
segment, so that a segment has the same features wherever it is cut from. What is steady is divided away and sudden
energy is kept, which helps with distant sounds in constant noise.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

import functools
import math

import numpy as np

GAIN, BIAS, POWER, EPS = 0.98, 2.0, 0.5, 1e-6
"""As published, and as ``librosa.pcen`` has them."""

TIME_CONSTANT = 0.4
"""Seconds that the moving average reaches back."""

MOST_FRAMES = 4096
"""Frames of a segment at most: the average is taken by a matrix of their square."""


@functools.lru_cache(maxsize=2)
def smoothing(frames: int, frame_rate: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The moving average as a matrix: M = A E. A graph without loops can compute it, too.

    Unrolled, M[t] = (1 - s)**t E[0] + sum of s (1 - s)**(t - k) E[k] over k from 1 to t. The factor s follows from the
    time constant as in ``librosa.pcen``.

    Args:
        frames: of a segment.
        frame_rate: frames per second.

    Shape:
        (frames, frames), lower triangular; rows sum to 1.
    """
    span = TIME_CONSTANT * frame_rate
    factor = (math.sqrt(1 + 4 * span**2) - 1) / (2 * span**2)
    ages = np.arange(frames)[:, None] - np.arange(frames)
    matrix = np.where(ages >= 0, factor * (1 - factor) ** np.maximum(ages, 0), 0.0)
    matrix[:, 0] /= factor
    matrix.setflags(write=False)  # it is shared
    return matrix
