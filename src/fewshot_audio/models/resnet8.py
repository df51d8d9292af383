"""A small residual network that takes sounds of any level and, in segments filled with silence, of any length."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio.config.model import ResNet8Config
from fewshot_audio.models.base import Encoder, check_input, check_map, read_options

STRIDES = 16  # the map is so many times smaller than the spectrogram
AUDIBLE = 5.0
"""Bels below a sound's level at which a frame is silence."""

LOWEST = 5.5
"""Bels below a sound's level at which a number of the spectrogram is cut off."""

_LEAST_VARIANCE = 1e-4
_MOST_BELS = 30.0  # below the loudest number: what float32 can raise ten to


class ResNet8(Encoder):
    """A strided stem, three residual blocks, mean and deviation over the audible steps, batch norm, linear.

    One unit of its input is taken as 10 dB. The spectrogram is leveled first (``normalize_level``), and frames that are
    silent do not count: a short sound has nearly the same embedding whichever length it was filled up to.

    Args:
        n_mels: mel bins of a segment.
        n_frames: frames of a segment.
        options: keys of the model file's section ``ResNet8``, such as ``widths`` and ``out_dim``.

    Shape: (n, n_mels, n_frames) -> (n, out_dim).

    Raises:
        ConfigError: an option is unknown or wrong, or segments are too small for the strides.

    Example:
        >>> encoder = ResNet8(n_mels=64, n_frames=313)
        >>> encoder(torch.randn(4, 64, 313)).shape
        torch.Size([4, 256])
    """

    def __init__(self, n_mels: int, n_frames: int, **options: Any) -> None:
        super().__init__()
        config = read_options(ResNet8Config, options, "ResNet8")
        self.out_dim = config.out_dim
        self.input_size = (n_mels, n_frames)
        check_map("ResNet8", (n_mels // STRIDES, n_frames // STRIDES), n_mels, n_frames)
        first, *others = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(StridedBlock(a, b) for a, b in zip(config.widths, others, strict=False)))
        width = 2 * config.widths[-1] * -(-n_mels // STRIDES)
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, config.out_dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # for the fast kernels of the CPU and the GPU
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def pooled(self, x: Tensor) -> Tensor:
        """What the last layer reads: mean and deviation of each channel and mel step over the audible steps in time.

        Shape: (n, n_mels, any number of frames from 24) -> (n, width).
        """
        leveled, audible = normalize_level(x)
        weights = F.max_pool1d(audible.to(x.dtype).unsqueeze(1), STRIDES, STRIDES, ceil_mode=True)  # (n, 1, steps)
        weights = weights / weights.sum(dim=2, keepdim=True)
        leveled = leveled.contiguous().unsqueeze(-1).movedim(-1, 1)  # its strides say channels_last
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features = self.blocks(self.stem(leveled))
        steps = features.to(x.dtype).flatten(1, 2)  # (n, channels * mel steps, steps)
        mean = (steps * weights).sum(dim=2)
        variance = ((steps - mean.unsqueeze(2)).square() * weights).sum(dim=2)
        statistics: Tensor = self.norm(torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=1))
        return statistics

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        check_input("ResNet8", x, *self.input_size)
        embedding: Tensor = self.linear(self.pooled(x))
        return embedding


class StridedBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, the first of stride 2, beside a 1x1 shortcut (He et al. 2016).

    Shape: (n, in_channels, mels, frames) -> (n, channels, ceil(mels / 2), ceil(frames / 2)).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
        self.convs = nn.ModuleList([first, nn.Conv2d(channels, channels, 3, 1, 1, bias=False)])
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in self.convs)
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, 2, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.norms[1](self.convs[1](F.relu(self.norms[0](self.convs[0](x)))))
        return F.relu(y + self.shortcut(x))


def normalize_level(x: Tensor) -> tuple[Tensor, Tensor]:
    """Bring spectrograms in bels to one level, and say which of their frames are audible.

    The level of a sound is the mean power of its frames, each weighted by its power, so that silence before or after
    the sound changes nothing. What is ``LOWEST`` bels or more below it is cut off; the range is brought near 0.

    Shape:
        (n, mels, frames) -> (n, mels, frames) and bool (n, frames).

    Example:
        >>> hit = torch.randn(1, 8, 20)
        >>> padded = F.pad(hit, (0, 30), value=-15.0)
        >>> leveled, audible = normalize_level(padded + 2.0)
        >>> torch.allclose(leveled[:, :, :20], normalize_level(hit)[0], atol=1e-5), int(audible.sum())
        (True, 20)
    """
    below = (x - x.amax(dim=(1, 2), keepdim=True)).clamp(min=-_MOST_BELS)
    power = (10.0**below).mean(dim=1)  # (n, frames)
    level = torch.log10(power.square().sum(dim=1) / power.sum(dim=1)).unsqueeze(1)
    audible = torch.log10(power) - level > -AUDIBLE
    leveled = (below - level.unsqueeze(2)).clamp(min=-LOWEST)
    return (leveled + LOWEST / 2) / 2, audible
