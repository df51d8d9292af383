"""Augmentation of log-mel spectrograms: other microphones, rooms and backgrounds make no other class.

All functions take and return decibels, (n, mels, frames), and draw from torch's global generator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

COLORING_DB, COLORING_POINTS = 4.0, 5
MIX_SHARE, MIX_SNR_DB = 0.4, (3.0, 28.0)
NOISE_SHARE, NOISE_SNR_DB, NOISE_TILT_DB, NOISE_FLUTTER_DB = 0.3, (8.0, 38.0), (-20.0, 10.0), 3.0
BAND_SHARE, LOWEST_TOP, HIGHEST_BOTTOM, STOP_DB = 0.2, 0.56, 0.15, 30.0
MASK_DB, MASK_BINS, MASK_FRAMES = 25.0, 0.15, 0.2


def augment(features: Tensor) -> Tensor:
    """Color, mix, add noise, limit the band, and mask, each with new parameters for every sound."""
    return mask(limit_band(add_noise(mix(color(features)))))


def level(features: Tensor) -> Tensor:
    """Mean power in dB, (n, 1, 1)."""
    return 10 * torch.log10((10 ** (features / 10)).mean(dim=(1, 2), keepdim=True))


def color(features: Tensor) -> Tensor:
    """Add a smooth random curve over frequency: another microphone, another room."""
    points = COLORING_DB * torch.randn(len(features), 1, COLORING_POINTS)
    curve = F.interpolate(points, size=features.shape[1], mode="linear", align_corners=True)
    return features + curve.transpose(1, 2)


def mix(features: Tensor) -> Tensor:
    """Put another sound of the batch behind some, at an SNR of ``MIX_SNR_DB``."""
    others = features[torch.randperm(len(features))]
    behind = others + (level(features) - level(others) - _uniform(len(features), MIX_SNR_DB))
    return torch.where(_chosen(len(features), MIX_SHARE), _add(features, behind), features)


def add_noise(features: Tensor) -> Tensor:
    """Put steady noise behind some, which rises or falls with frequency."""
    n, mels, _ = features.shape
    tilt = torch.linspace(0, 1, mels).view(1, mels, 1) * _uniform(n, NOISE_TILT_DB)
    flutter = NOISE_FLUTTER_DB * torch.randn(features.shape)
    noise = level(features) - _uniform(n, NOISE_SNR_DB) + tilt + flutter
    return torch.where(_chosen(n, NOISE_SHARE), _add(features, noise), features)


def limit_band(features: Tensor) -> Tensor:
    """Weaken what is above a frequency, and what is below one, of some: telephones, codecs, small loudspeakers."""
    n, mels, _ = features.shape
    bins = torch.arange(mels).view(1, mels, 1)
    top = mels * _uniform(n, (LOWEST_TOP, 1.0))
    bottom = mels * _uniform(n, (0.0, HIGHEST_BOTTOM))
    stopped = (_chosen(n, BAND_SHARE) & (bins > top)) | (_chosen(n, BAND_SHARE) & (bins < bottom))
    return torch.where(stopped, features - STOP_DB, features)


def mask(features: Tensor) -> Tensor:
    """Bring a band of mel bins and a stretch of frames down to ``MASK_DB`` below the level (SpecAugment)."""
    n, mels, frames = features.shape
    low = level(features) - MASK_DB
    for size, share, axis in ((mels, MASK_BINS, (1, mels, 1)), (frames, MASK_FRAMES, (1, 1, frames))):
        begin = size * torch.rand(n, 1, 1)
        positions = torch.arange(size).view(axis)
        masked = (positions >= begin) & (positions < begin + size * share * torch.rand(n, 1, 1))
        features = torch.where(masked, torch.minimum(features, low), features)
    return features


def _uniform(n: int, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(n, 1, 1)


def _chosen(n: int, share: float) -> Tensor:
    return torch.rand(n, 1, 1) < share


def _add(a: Tensor, b: Tensor) -> Tensor:
    """The sum of two powers, in dB."""
    return 10 * torch.log10(10 ** (a / 10) + 10 ** (b / 10))
