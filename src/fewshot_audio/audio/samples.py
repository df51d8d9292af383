"""Samples of recordings: their type, and what every decoder does with them."""

from typing import TypeAlias

import numpy as np

from fewshot_audio.audio.rejection import Reason, Rejected

Samples: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Span: TypeAlias = tuple[float, float]
"""Start and end in seconds."""

BLOCK_SAMPLES = 1 << 18
SPAN_TOLERANCE = 0.1  # seconds that may be missing at the end of a span
MIN_RATE = 100  # Hz; a lower rate means a broken header, and resampling would multiply the samples without bound


def mean_of_channels(block: np.ndarray[tuple[int, int], np.dtype[np.int16 | np.float32]]) -> Samples:
    """Average (frames, channels) -> (frames,), channel by channel: numpy's mean over a short last axis is slow."""
    samples = block.astype(np.float32, copy=False)
    mono = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        mono += samples[:, channel]
    mono /= samples.shape[1]
    return mono


def check_rate(sample_rate: float) -> None:
    """Raise Rejected for a sample rate that no recording has."""
    if sample_rate < MIN_RATE:
        raise Rejected(Reason.UNREADABLE, f"sample rate {sample_rate:g} Hz, expected at least {MIN_RATE} Hz")


def span_frames(span: Span | None, frames: int, rate: int) -> tuple[int, int]:
    """The first frame of a span and the one after its last, in a recording of that many frames.

    Raises:
        Rejected: the recording does not contain the span.
    """
    if span is None:
        return 0, frames
    length = frames / rate
    if not 0 <= span[0] < span[1] <= length + SPAN_TOLERANCE or span[0] >= length:
        part = f"{span[0]:g} to {span[1]:g} s"
        raise Rejected(Reason.TOO_SHORT, f"the recording is {length:g} s long, expected to contain {part}")
    return round(span[0] * rate), min(round(span[1] * rate), frames)
