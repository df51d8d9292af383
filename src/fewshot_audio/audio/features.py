"""The one log-mel spectrogram of this package: in preparation, in training on waveforms, and in classification."""

import math

import numpy as np
import torch
from torch import Tensor, nn

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, 27 logarithmic steps for each factor of 6.4 above.
_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def _mel_to_hz(mel: FloatArray) -> FloatArray:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


def _hz_to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _KNEE_HZ else _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> FloatArray:
    """Triangular filters of equal area, evenly spaced from 0 Hz to the Nyquist frequency on Slaney's mel scale.

    Equal to ``librosa.filters.mel`` with its default settings.

    Shape:
        returns (n_mels, n_fft // 2 + 1), float64.
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate / 2), n_mels + 2))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    triangles: FloatArray = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * (2.0 / (upper - lower))


class LogMel(nn.Module):
    """Log-mel spectrogram in decibels: ``10 * log10(mel(|STFT|^2) + eps)``, Hann window, centred zero-padded frames.

    Computes in the input's precision (float64 in preparation; half precisions are raised to float32, autocast is
    ignored: the dynamic range of a power spectrum does not fit fewer bits). ``dtype`` is that of the buffers, which
    follow from the arguments and are therefore not part of the state dict.

    Shape:
        input (..., samples), output (..., n_mels, frames) with frames = 1 + samples // hop_length.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_fft: int = 1024,
        hop_length: int = 512,
        n_mels: int = 128,
        eps: float = 2.22e-16,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.eps = eps
        window = torch.hann_window(n_fft, dtype=torch.float64)
        filterbank = torch.from_numpy(mel_filterbank(sample_rate, n_fft, n_mels))
        self.register_buffer("window", window.to(dtype), persistent=False)
        self.register_buffer("filterbank", filterbank.to(dtype), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log-mel spectrogram of waveforms (..., samples)."""
        dtype = torch.float64 if waveform.dtype == torch.float64 else torch.float32
        with torch.autocast(waveform.device.type, enabled=False):
            samples = waveform.to(dtype).reshape(-1, waveform.shape[-1])
            spectrum = torch.stft(
                samples,
                self.n_fft,
                self.hop_length,
                window=self.window.to(dtype),
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            decibels = 10.0 * torch.log10(self.filterbank.to(dtype) @ power + self.eps)
        return decibels.reshape(*waveform.shape[:-1], *decibels.shape[-2:])
