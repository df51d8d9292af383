"""The one log-mel spectrogram of this package: in preparation, in training on waveforms, and in classification."""

import torch
from torch import Tensor, nn

from fewshot_audio.audio.mel import mel_filterbank


class LogMel(nn.Module):
    """Log-mel spectrogram in decibels: ``10 * log10(mel(|STFT|^2) + eps)``, Hann window, centerd zero-padded frames.

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
