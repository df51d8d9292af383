"""The timbre statistics in torch, for graphs that run without this package; ``timbre`` is the same on numpy."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio.audio.features import LogMel
from fewshot_audio.audio.timbre import EPS, LEAST_DEVIATION, LEAST_FRAMES, RANGE_DB, SCALES, cepstral_transform


class TimbreStatistics(nn.Module):
    """``timbre`` of several sounds of one length, in float64.

    Args:
        sample_rate: Hz.

    Shape:
        (batch, samples) -> (batch, TIMBRE_WIDTH).
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_Scale(sample_rate, *scale) for scale in SCALES)

    def forward(self, samples: Tensor) -> Tensor:
        """Compute the statistics."""
        return torch.cat([scale(samples.double()) for scale in self.scales], dim=-1)


class _Scale(nn.Module):
    transform: Tensor

    def __init__(self, sample_rate: int, window: float, hop: float, n_mels: int) -> None:
        super().__init__()
        self.hop_length = max(1, round(hop * sample_rate))
        n_fft = max(2, round(window * sample_rate))
        self.log_mel = LogMel(sample_rate, n_fft, self.hop_length, n_mels, EPS, torch.float64)
        self.register_buffer("transform", torch.from_numpy(cepstral_transform(n_mels)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        missing = (LEAST_FRAMES - 1) * self.hop_length - samples.shape[-1]
        decibels = self.log_mel(F.pad(samples, (0, missing)) if missing > 0 else samples).mT  # (batch, frames, mels)
        amplitudes = (10.0 ** (decibels / 10.0)).sum(-1, keepdim=True).sqrt()
        weights = amplitudes / amplitudes.sum(1, keepdim=True)
        loudest = decibels.amax((1, 2), keepdim=True)
        cepstra = (decibels - loudest).clamp(min=-RANGE_DB) @ self.transform.mT
        mean, weighted_mean = cepstra.mean(1, keepdim=True), (weights * cepstra).sum(1, keepdim=True)
        centered = cepstra - mean
        steps = cepstra[:, 1:] - cepstra[:, :-1]
        time = torch.linspace(-1.0, 1.0, cepstra.shape[1], dtype=torch.float64).unsqueeze(-1)
        return torch.cat(
            [
                mean[:, 0],
                _log(centered.square().mean(1)),
                weighted_mean[:, 0],
                _log((weights * (cepstra - weighted_mean).square()).sum(1)),
                (time * centered).sum(1) / time.square().sum(),
                _log((steps - steps.mean(1, keepdim=True)).square().mean(1)),
            ],
            dim=-1,
        )


def _log(variances: Tensor) -> Tensor:
    return (variances.sqrt() + LEAST_DEVIATION).log()
