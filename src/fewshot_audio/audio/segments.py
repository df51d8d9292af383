"""Recordings made alike: shifted and scaled as a whole, their last segments filled up; and frames that fit segments.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

from typing import Literal

import numpy as np

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples

# "metaaudio" is a mixture of two programs that version 0.1 made; it stays for the datasets and models that record it.
Compat = Literal["", "metaaudio-offline", "metaaudio-training", "authors-waveforms", "metaaudio"]
Fill = Literal["repeat", "silence"]

USUAL_HOP = 512  # samples
LEAST_FRAMES = 32
"""Frames of a segment that a hop which is not given leaves, if it can."""

_BLOCK = 1 << 20  # samples that are normalized at once


def usual_hop(segment_samples: int, n_fft: int) -> int:
    """The distance of frames if none is given, in samples.

    It is ``USUAL_HOP``, or half an FFT window if that is less, and halved until a segment has ``LEAST_FRAMES`` frames.
    """
    hop = max(1, min(USUAL_HOP, n_fft // 2))
    while hop > 1 and 1 + segment_samples // hop < LEAST_FRAMES:
        hop //= 2
    return hop


def normalize(samples: Samples, floor: float) -> Samples:
    """Shift and scale a recording (samples,) to mean 0 and standard deviation 1.

    Raises:
        Rejected: all samples are equal, their standard deviation is below ``floor``, or one is not finite.
    """
    low, high = samples.min(), samples.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Rejected(Reason.NON_FINITE, "NaN or infinite samples")
    if low == high:
        raise Rejected(Reason.SILENT, f"every sample is {low:g}")
    mean = samples.mean(dtype=np.float64)
    starts = range(0, len(samples), _BLOCK)
    squares = (np.square(samples[s : s + _BLOCK] - mean).sum() for s in starts)
    deviation = np.sqrt(sum(squares) / len(samples))
    if deviation < floor:
        raise Rejected(Reason.SILENT, f"{20 * np.log10(deviation):.0f} dBFS, below {20 * np.log10(floor):.0f} dBFS")
    normalized = np.empty(len(samples), dtype=np.float32)
    for s in starts:
        normalized[s : s + _BLOCK] = (samples[s : s + _BLOCK] - mean) / deviation
    return normalized


def fill_segment(waveform: Samples, rest: Samples, length: int, fill: Fill, compat: Compat) -> Samples:
    """The last segment of a waveform, as ``Preprocessing.segments`` says.

    Args:
        waveform: the whole.
        rest: what is left of it after the last full segment; the whole, if it is shorter than a segment.
        length: of a segment, in samples.
        fill: what it is filled up with, without ``compat``.
        compat: the program that does it so.
    """
    times = -(-length // len(rest))
    match compat:
        case "" if fill == "silence":
            return np.pad(rest, (0, length - len(rest)))
        case "":
            return np.resize(rest, length)
        case "metaaudio-training":
            return np.resize(waveform[:length], length)
        case "authors-waveforms":
            return np.repeat(waveform[: -(-length // times)], times)[:length]
        case "metaaudio" if len(rest) < len(waveform):
            return waveform[:length]
        case _:
            return np.repeat(rest, times)[:length]
