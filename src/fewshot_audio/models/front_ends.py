"""The inputs of pretrained audio encoders, computed in torch as the encoders' own feature extractors compute them.

Each follows the numpy code of its extractor in ``transformers`` (the oracle in the tests) with the settings of the
model's ``preprocessor_config.json``.
"""

import math
import warnings
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_WEIGHTS = 1 << 22  # of a mel filter bank; a larger one is a mistake or an attack

Array = np.ndarray[Any, np.dtype[np.float64]]


class FrontEnd(nn.Module):
    """Computes an encoder's input from waveforms at ``sample_rate`` of at most ``max_samples`` samples."""

    sample_rate: int
    max_samples: float = math.inf


class Waveform(FrontEnd):
    """wav2vec 2.0 and its relatives: the waveform itself, z-normalized if the model was trained so.

    Shape: (n, samples) -> (n, samples).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.sample_rate = int(settings.get("sampling_rate", 16_000))
        self.normalize = bool(settings.get("do_normalize", True))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        if not self.normalize:
            return x
        variance = x.var(-1, keepdim=True, correction=0)
        return (x - x.mean(-1, keepdim=True)) / (variance + 1e-7).sqrt()


class MelSpectrogram(nn.Module):
    """Mel power spectrogram; ``kaldi`` frames lose their mean and are pre-emphasized before the window.

    Shape: (n, samples) -> (n, frames, mels).
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, window: Array, hop: int, n_fft: int, filters: Array, *, centered: bool, kaldi: bool = False
    ) -> None:
        super().__init__()
        self.hop, self.n_fft, self.kaldi = hop, n_fft, kaldi
        self.padding = len(window) // 2 if centered else 0
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the spectrogram, in float32 whatever autocast says."""
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float().unsqueeze(1), (self.padding, self.padding), mode="reflect").squeeze(1)
            frames = padded.unfold(-1, len(self.window), self.hop)
            if self.kaldi:
                frames = frames - frames.mean(-1, keepdim=True)
                frames = frames - 0.97 * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
            spectrum = torch.fft.rfft(frames * self.window, self.n_fft)
            power: Tensor = spectrum.real.square() + spectrum.imag.square()
            return power @ self.filters


class ASTFrontEnd(FrontEnd):
    """Audio Spectrogram Transformer: Kaldi log-mel, padded to a length, normalized with AudioSet's numbers.

    Shape: (n, samples) -> (n, max_length, mels).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import window_function

        self.sample_rate = rate = int(settings.get("sampling_rate", 16_000))
        self.frames = int(settings.get("max_length", 1024))
        self.max_samples = 400 + (self.frames - 1) * 160
        normalize = settings.get("do_normalize", True)
        self.mean = float(settings.get("mean", -4.2677393)) if normalize else 0.0
        self.scale = 2 * float(settings.get("std", 4.5689974)) if normalize else 1.0
        mels = int(settings.get("num_mel_bins", 128))
        filters = _filters(257, mels, 20, rate // 2, rate, None, "kaldi", True)
        window = window_function(400, "hann", periodic=False)
        self.spectrogram = MelSpectrogram(window, 160, 512, filters, centered=False, kaldi=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute, pad, normalize."""
        features = self.spectrogram(x).clamp(min=1.192092955078125e-07).log()
        padded = F.pad(features, (0, 0, 0, self.frames - features.shape[1]))
        return (padded - self.mean) / self.scale


class CLAPFrontEnd(FrontEnd):
    """CLAP's audio encoder: the waveform repeated or padded to 10 s, log-mel in decibels.

    Shape: (n, samples) -> (n, 1, frames, mels).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import window_function

        self.sample_rate = rate = int(settings.get("sampling_rate", 48_000))
        self.max_samples = self.samples = int(settings.get("max_length_s", 10)) * rate
        self.filling: Literal["repeat", "repeatpad", "pad"] = settings.get("padding", "repeatpad")
        if self.filling not in ("repeat", "repeatpad", "pad"):
            raise ValueError(f"padding {self.filling!r}: expected repeat, repeatpad or pad")
        n_fft, mels = int(settings.get("fft_window_size", 1024)), int(settings.get("feature_size", 64))
        norm, scale = (None, "htk") if settings.get("truncation", "fusion") == "fusion" else ("slaney", "slaney")
        low, high = float(settings.get("frequency_min", 0)), float(settings.get("frequency_max", 14_000))
        filters = _filters(n_fft // 2 + 1, mels, low, high, rate, norm, scale)
        hop = int(settings.get("hop_length", 480))
        self.spectrogram = MelSpectrogram(window_function(n_fft, "hann"), hop, n_fft, filters, centered=True)

    def forward(self, x: Tensor) -> Tensor:
        """Repeat, pad, compute."""
        times = self.samples // x.shape[-1] if self.filling == "repeatpad" else 1
        times = -(-self.samples // x.shape[-1]) if self.filling == "repeat" else times
        filled = x.repeat(1, times)[:, : self.samples]
        filled = F.pad(filled, (0, self.samples - filled.shape[-1]))
        power: Tensor = self.spectrogram(filled)
        return (10 * power.clamp(min=1e-10).log10()).unsqueeze(1)


class WhisperFrontEnd(FrontEnd):
    """Whisper: log-mel of the waveform padded to 30 s, its range limited to 8 decades.

    Shape: (n, samples) -> (n, mels, frames).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import window_function

        self.sample_rate = rate = int(settings.get("sampling_rate", 16_000))
        self.max_samples = self.samples = int(settings.get("chunk_length", 30)) * rate
        n_fft, mels = int(settings.get("n_fft", 400)), int(settings.get("feature_size", 80))
        filters = _filters(n_fft // 2 + 1, mels, 0.0, 8000.0, rate, "slaney", "slaney")
        hop = int(settings.get("hop_length", 160))
        self.spectrogram = MelSpectrogram(window_function(n_fft, "hann"), hop, n_fft, filters, centered=True)

    def forward(self, x: Tensor) -> Tensor:
        """Pad, compute, limit the range."""
        filled = F.pad(x, (0, self.samples - x.shape[-1]))
        features = self.spectrogram(filled)[:, :-1].clamp(min=1e-10).log10()
        features = torch.maximum(features, features.amax((1, 2), keepdim=True) - 8.0)
        return ((features + 4.0) / 4.0).transpose(1, 2)


def _filters(
    frequencies: int, mels: int, low: float, high: float, rate: int, norm: str | None, scale: str, kaldi: bool = False
) -> Array:
    """Shape: (frequencies, mels)."""
    from transformers.audio_utils import mel_filter_bank

    if frequencies * mels > MAX_WEIGHTS:
        raise ValueError(f"a filter bank of {frequencies} x {mels} weights, expected at most {MAX_WEIGHTS}")
    with warnings.catch_warnings():  # AST's own low filters are narrower than a bin; it was trained with them
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        filters: Array = mel_filter_bank(frequencies, mels, low, high, rate, norm, scale, kaldi)
    return filters
