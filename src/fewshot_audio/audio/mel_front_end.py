"""The mel spectrograms that encoders from elsewhere read, in numpy: one class with their differences as settings."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from fewshot_audio.audio.mel import FloatArray, mel_edges, triangles
from fewshot_audio.audio.samples import Samples
from fewshot_audio.config.base import Section

MAX_WEIGHTS = 1 << 22  # of a filter bank
_FRAMES = 256  # whose spectra are in memory at once


class MelSettings(Section):
    """How a mel spectrogram is computed."""

    n_fft: Annotated[int, Field(ge=16, le=1 << 16)]
    """Samples of a frame, and length of its FFT."""
    window_length: Annotated[int, Field(ge=1, le=1 << 16)]
    """Samples of the periodic Hann window in the middle of a frame."""
    hop_length: Annotated[int, Field(ge=1, le=1 << 16)]
    """Samples from a frame to the next."""
    n_mels: Annotated[int, Field(ge=1, le=1024)]
    """Number of filters."""
    low: Annotated[float, Field(ge=0)] = 0.0
    """Lowest frequency of the filters, Hz."""
    high: Annotated[float, Field(gt=0)]
    """Highest frequency of the filters, Hz."""
    scale: Literal["htk", "slaney"]
    """The mel scale on which filters are evenly spaced."""
    equal_area: bool
    """Whether filters have equal areas, not equal heights."""
    power: Literal[1, 2]
    """Filters are applied to magnitudes (1) or their squares (2)."""
    centered: bool
    """Whether the first frame is centered on the first sample, beside zeros; else it begins there."""
    logarithm: Literal["none", "natural", "decibels"]
    """Natural logarithm; or 10 times the decimal one."""
    offset: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Is added before the logarithm."""

    @model_validator(mode="after")
    def _check(self) -> "MelSettings":
        if self.window_length > self.n_fft:
            raise ValueError(f"window_length is {self.window_length}, expected at most n_fft, {self.n_fft}")
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} Hz, expected below high, {self.high:g} Hz")
        if self.logarithm != "none" and not self.offset > 0:
            raise ValueError("offset is 0: the logarithm of silence would not be finite")
        if (self.n_fft // 2 + 1) * self.n_mels > MAX_WEIGHTS:
            raise ValueError(f"n_fft x n_mels: filters of more than {MAX_WEIGHTS} weights")
        return self


class MelFrontEnd:
    """Computes mel spectrograms of waveforms.

    Args:
        settings: how.
        sample_rate: of the waveforms, Hz.

    Shape:
        (samples,) -> (frames, n_mels), float32; at least one frame.
    """

    def __init__(self, settings: MelSettings, sample_rate: int) -> None:
        self.settings = settings
        length, n_fft = settings.window_length, settings.n_fft
        self._window = np.zeros(n_fft)
        begin = (n_fft - length) // 2
        self._window[begin : begin + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        edges = mel_edges(settings.low, settings.high, settings.n_mels + 2, htk=settings.scale == "htk")
        self._filters = triangles(edges, sample_rate, n_fft)
        if settings.equal_area:
            self._filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]

    def __call__(self, samples: Samples) -> Samples:
        """Compute the mel spectrogram of one waveform."""
        settings = self.settings
        padding = settings.n_fft // 2 if settings.centered else 0
        missing = max(0, settings.n_fft - len(samples) - 2 * padding)
        padded = np.pad(samples.astype(np.float64), (padding, padding + missing))
        frames = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)[:: settings.hop_length]
        mel: FloatArray = np.empty((len(frames), settings.n_mels))
        for start in range(0, len(frames), _FRAMES):
            magnitudes = np.abs(np.fft.rfft(frames[start : start + _FRAMES] * self._window))
            mel[start : start + _FRAMES] = magnitudes**settings.power @ self._filters.T
        if settings.logarithm == "natural":
            mel = np.log(mel + settings.offset)
        elif settings.logarithm == "decibels":
            mel = 10.0 * np.log10(mel + settings.offset)
        return mel.astype(np.float32)
