"""Slaney's mel filters, and the exact spectrograms of preparation: log-mel, and PCEN of mel energies.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

import math

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.pcen import BIAS, EPS, GAIN, POWER, smoothing

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, 27 logarithmic steps for each factor of 6.4 above.
_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0

_BAND = 8  # neighboring filters that are multiplied at once
_FRAMES = 256  # frames that are multiplied at once; another number gives other last bits
_SPECTRA = 32  # frames that are transformed at once, so that they stay in the cache of a core; no bit depends on it


def _mel_to_hz(mel: FloatArray) -> FloatArray:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


def _hz_to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _KNEE_HZ else _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP


def mel_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, fmin: float = 0.0, fmax: float | None = None
) -> FloatArray:
    """Triangular filters of equal area, evenly spaced on Slaney's mel scale.

    Equal to ``librosa.filters.mel``.

    Args:
        sample_rate: in Hz.
        n_fft: length of the FFT, in samples.
        n_mels: number of filters.
        fmin: lower edge of the first filter, Hz.
        fmax: upper edge of the last filter, Hz; None for the Nyquist frequency.

    Returns:
        Filters (n_mels, n_fft // 2 + 1), float64.
    """
    highest = sample_rate / 2 if fmax is None else fmax
    edges = mel_edges(fmin, highest, n_mels + 2, htk=False)
    return triangles(edges, sample_rate, n_fft) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def triangles(edges: FloatArray, sample_rate: int, n_fft: int) -> FloatArray:
    """Triangular filters of height 1 from each edge, in Hz, to the next but one. Shape: (edges - 2, n_fft // 2 + 1)."""
    lower, center, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    rising = (bins - lower) / (center - lower)
    falling = (upper - bins) / (upper - center)
    filters: FloatArray = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def mel_edges(low: float, high: float, count: int, *, htk: bool) -> FloatArray:
    """So many frequencies, in Hz, evenly spaced on Slaney's mel scale or on HTK's."""
    if htk:
        mels = np.linspace(math.log1p(low / 700.0), math.log1p(high / 700.0), count)
        return 700.0 * np.expm1(mels)
    return _mel_to_hz(np.linspace(_hz_to_mel(low), _hz_to_mel(high), count))


class ExactMel:
    """Mel energies in float64 on numpy, so that workers that prepare recordings start without importing torch.

    A mel filter is zero in most of the FFT's bins. Each band of neighboring filters is therefore multiplied with its
    own bins only, which is an eighth of the work of the whole matrix.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of a frame and its Hann window, in samples.
        hop_length: distance of frames, in samples.
        n_mels: number of mel bins.
        fmin: lower edge of the first mel filter, Hz.
        fmax: upper edge of the last one, Hz; None for the Nyquist frequency.

    Shape:
        (samples,) -> (n_mels, frames) with frames = 1 + samples // hop_length.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        self.n_fft, self.hop_length, self.n_mels = n_fft, hop_length, n_mels
        self.frame_rate = sample_rate / hop_length
        self.window: FloatArray = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        filters = mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax)
        self.bands = []
        for first in range(0, n_mels, _BAND):
            band = filters[first : first + _BAND]
            nonzero = np.flatnonzero(band.any(axis=0))
            bins = slice(nonzero[0], nonzero[-1] + 1) if len(nonzero) else slice(0)
            self.bands.append((slice(first, first + _BAND), bins, np.ascontiguousarray(band[:, bins])))

    def __call__(self, samples: npt.NDArray[np.floating]) -> FloatArray:
        """Compute the spectrogram of one waveform (samples,)."""
        half = self.n_fft // 2
        padded = np.zeros(len(samples) + 2 * half)
        padded[half : half + len(samples)] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        mel = np.empty((self.n_mels, len(frames)))
        for start in range(0, len(frames), _FRAMES):
            block = frames[start : start + _FRAMES]
            power = np.empty((len(block), half + 1))
            for first in range(0, len(block), _SPECTRA):
                spectrum = np.fft.rfft(block[first : first + _SPECTRA] * self.window)
                part = power[first : first + _SPECTRA]
                np.square(spectrum.real, out=part)
                part += np.square(spectrum.imag)
            for rows, bins, weights in self.bands:
                mel[rows, start : start + _FRAMES] = weights @ power[:, bins].T
        return mel


class ExactLogMel(ExactMel):
    """``LogMel`` in float64 on numpy: mel energies in decibels.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of a frame and its Hann window, in samples.
        hop_length: distance of frames, in samples.
        n_mels: number of mel bins.
        eps: power that is added before the logarithm, so that silence is finite.
        fmin: lower edge of the first mel filter, Hz.
        fmax: upper edge of the last one, Hz; None for the Nyquist frequency.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        eps: float,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, n_mels, fmin, fmax)
        self.eps = eps

    def __call__(self, samples: npt.NDArray[np.floating]) -> FloatArray:
        """Compute the log-mel spectrogram of one waveform (samples,) in decibels."""
        mel = super().__call__(samples)
        mel += self.eps
        np.log10(mel, out=mel)
        mel *= 10.0
        return mel


class ExactPcen(ExactMel):
    """``Pcen`` in float64 on numpy; arguments as those of ``ExactMel``."""

    def __call__(self, samples: npt.NDArray[np.floating]) -> FloatArray:
        """Compute the PCEN of one waveform (samples,)."""
        energies = super().__call__(samples)
        smooth = energies @ smoothing(energies.shape[1], self.frame_rate).T
        pcen: FloatArray = (energies / (EPS + smooth) ** GAIN + BIAS) ** POWER - BIAS**POWER
        return pcen
