"""Spectrograms in torch, log-mel and PCEN: for training on waveforms, augmentation and export."""

import torch
from torch import Tensor, nn

from fewshot_audio.audio.mel import mel_filterbank
from fewshot_audio.audio.pcen import BIAS, EPS, GAIN, POWER, smoothing


class MelFrontEnd(nn.Module):
    """Mel energies ``mel(|STFT|^2)``, Hann window, centered zero-padded frames; a subclass compresses them.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of a frame and its Hann window, in samples.
        hop_length: distance of frames, in samples.
        n_mels: number of mel bins.
        fmin: lower edge of the first mel filter, Hz.
        fmax: upper edge of the last one, Hz; None for the Nyquist frequency.
        dtype: of the buffers (window and filter bank), which follow from the arguments and are therefore not part of
            the state dict.

    Shape:
        (..., samples) -> (..., n_mels, frames) with frames = 1 + samples // hop_length.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        fmin: float = 0.0,
        fmax: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.frame_rate = sample_rate / hop_length
        window = torch.hann_window(n_fft, dtype=torch.float64)
        filterbank = torch.from_numpy(mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax))
        self.register_buffer("window", window.to(dtype), persistent=False)
        self.register_buffer("filterbank", filterbank.to(dtype), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the spectrogram of waveforms (..., samples)."""
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
            features = self.compress(self.filterbank.to(dtype) @ power)
        return features.reshape(*waveform.shape[:-1], *features.shape[-2:])

    def compress(self, energies: Tensor) -> Tensor:
        """Features of mel energies. Shape: (n, n_mels, frames) -> the same."""
        raise NotImplementedError


class LogMel(MelFrontEnd):
    """Log-mel spectrogram in decibels: ``10 * log10(mel(|STFT|^2) + eps)``, Hann window, centered zero-padded frames.

    Computes in float64 if the input is float64, else in float32; autocast is ignored, since the dynamic range of a
    power spectrum does not fit fewer bits. ``ExactLogMel`` is the same on numpy.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of a frame and its Hann window, in samples.
        hop_length: distance of frames, in samples.
        n_mels: number of mel bins.
        eps: power that is added before the logarithm, so that silence is finite.
        dtype: of the buffers (window and filter bank), which follow from the arguments and are therefore not part of
            the state dict.
        fmin: lower edge of the first mel filter, Hz.
        fmax: upper edge of the last one, Hz; None for the Nyquist frequency.

    Shape:
        (..., samples) -> (..., n_mels, frames) with frames = 1 + samples // hop_length.

    Example:
        >>> log_mel = LogMel(sample_rate=8000, n_fft=512, hop_length=128, n_mels=64)
        >>> log_mel(torch.randn(4, 8000)).shape
        torch.Size([4, 64, 63])
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_fft: int = 1024,
        hop_length: int = 512,
        n_mels: int = 128,
        eps: float = 2.22e-16,
        dtype: torch.dtype = torch.float32,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, n_mels, fmin, fmax, dtype)
        self.eps = eps

    def compress(self, energies: Tensor) -> Tensor:
        """Decibels of mel energies."""
        return 10.0 * torch.log10(energies + self.eps)


class Pcen(MelFrontEnd):
    """Per-channel energy normalization of mel energies, as ``fewshot_audio.audio.pcen`` defines it.

    Computes in float64 if the input is float64, else in float32. ``ExactPcen`` is the same on numpy. Arguments and
    shapes are those of ``MelFrontEnd``.
    """

    def compress(self, energies: Tensor) -> Tensor:
        """Divide mel energies by their moving averages."""
        matrix = torch.tensor(smoothing(energies.shape[-1], self.frame_rate)).to(energies)
        smooth = energies @ matrix.mT
        pcen: Tensor = (energies / (EPS + smooth) ** GAIN + BIAS) ** POWER - BIAS**POWER
        return pcen
