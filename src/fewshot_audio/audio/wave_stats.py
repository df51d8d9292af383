"""Spectral statistics: mean centroid, bandwidth and flatness of a dataset, to which waveform augmentation adapts."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json

N_FFT = 2048
HOP = 512
MIN_POWER = 1e-10


@dataclass(frozen=True)
class WaveStats:
    """Spectral statistics of a clip or a dataset.

    Equal to librosa's ``spectral_centroid``, ``spectral_bandwidth`` and ``spectral_flatness`` in each frame, with
    librosa's default frames (2048 samples, step 512, centered); averaged over a clip's frames, then over clips.

    Attributes:
        centroid: in Hz.
        bandwidth: in Hz.
        flatness: from 0 to 1; 1 is white noise.

    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
        >>> round(WaveStats.of(tone, sample_rate=16_000).centroid, -2)  # to 100 Hz
        1000.0
    """

    centroid: float
    bandwidth: float
    flatness: float

    @classmethod
    def of(cls, clip: npt.NDArray[np.float32], sample_rate: int) -> Self:
        """Measure one clip.

        Args:
            clip: samples (samples,), or segments (segments, samples), whose frames do not cross segments.
            sample_rate: in Hz.

        Raises:
            DataError: there are no samples, or some are not finite.
        """
        segments = np.atleast_2d(clip)
        if not segments.size or not np.isfinite(segments).all():
            raise DataError(f"spectral statistics need finite samples; found an array {clip.shape} of {clip.dtype}")
        frames = np.concatenate([_frame_features(segment, sample_rate) for segment in segments], axis=1)
        return cls(*(float(value) for value in frames.mean(axis=1)))

    @classmethod
    def mean(cls, clips: Iterable[Self]) -> Self:
        """Average over clips; the exactly rounded sums do not depend on the order of the clips.

        Raises:
            DataError: there are no clips.
        """
        rows = [(clip.centroid, clip.bandwidth, clip.flatness) for clip in clips]
        if not rows:
            raise DataError("spectral statistics of a dataset need at least one clip of its training classes")
        return cls(*(math.fsum(column) / len(rows) for column in zip(*rows, strict=True)))


def write_wave_stats(path: Path, stats: WaveStats) -> None:
    """Write ``wave_stats.json``."""
    write_json(path, asdict(stats))


def read_wave_stats(path: Path) -> WaveStats:
    """Read ``wave_stats.json``.

    Raises:
        DataError: it cannot be read, or does not hold the three statistics as finite numbers in their ranges.
    """
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: spectral statistics cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: spectral statistics cannot be read: {error}") from error
    limits = {"centroid": math.inf, "bandwidth": math.inf, "flatness": 1.0}
    if not isinstance(values, dict) or set(values) != set(limits):
        raise DataError(f"{path}: expected an object with the keys {', '.join(limits)}")
    for name, limit in limits.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit:
            raise DataError(f"{path}: {name} is {value!r}, expected a number from 0 to {limit:g}")
        if not math.isfinite(value):
            raise DataError(f"{path}: {name} is {value!r}, expected a finite number")
    return WaveStats(**{name: float(value) for name, value in values.items()})


def _frame_features(samples: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float64]:
    """Centroid, bandwidth and flatness of every frame. Shape: (samples,) -> (3, frames)."""
    padded = np.pad(samples.astype(np.float64), N_FFT // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    magnitude = np.abs(np.fft.rfft(frames * window))
    frequency = np.arange(magnitude.shape[1]) * (sample_rate / N_FFT)
    total = magnitude.sum(axis=1, keepdims=True)
    share = np.divide(magnitude, total, out=np.zeros_like(magnitude), where=total > np.finfo(np.float32).tiny)
    centroid = share @ frequency
    bandwidth = np.sqrt((share * np.square(frequency - centroid[:, None])).sum(axis=1))
    power = np.maximum(np.square(magnitude), MIN_POWER)
    flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    return np.stack([centroid, bandwidth, flatness])
