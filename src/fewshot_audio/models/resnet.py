"""ResNet-12 (Oreshkin et al. 2018, TADAM; Lee et al. 2019, MetaOptNet) for spectrograms, with configurable widths."""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio.config.model import ResNet12Config
from fewshot_audio.models.base import Encoder, check_input, check_map, read_options
from fewshot_audio.models.pooling import Pooling

SLOPE = 0.1


class DropBlock(nn.Module):
    """Drop squares of a map in training (Ghiasi et al. 2018), drawn for each channel; the other values are scaled up.

    Shape: (n, channels, mels, frames) -> the same.
    """

    def __init__(self, rate: float, size: int) -> None:
        super().__init__()
        self.rate = rate
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Drop a share of about ``rate``."""
        if not self.training or not self.rate:
            return x
        height, width = x.shape[-2:]
        size = min(self.size, height, width)
        positions = (height - size + 1) * (width - size + 1)  # of a square that lies inside
        probability = self.rate * height * width / (size**2 * positions)
        corners = torch.rand(*x.shape[:2], height - size + 1, width - size + 1, device=x.device) < probability
        mask = 1 - F.max_pool2d(F.pad(corners.float(), [size - 1] * 4), size, stride=1)
        return x * (mask * (mask.numel() / mask.sum().clamp(min=1))).to(x.dtype)


class ResidualBlock(nn.Module):
    """Three 3x3 convolutions with batch norm beside a 1x1 shortcut; max pool, leaky ReLU.

    Pooling comes before the last activation, which is the same function and cheaper.

    Shape: (n, in_channels, mels, frames) -> (n, channels, mels // pool, frames // pool).
    """

    def __init__(self, in_channels: int, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        widths = [in_channels, channels, channels, channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in self.convs)
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(F.leaky_relu(y, SLOPE) if number else y))
        return F.leaky_relu(self.pool(y + self.shortcut(x)), SLOPE)


class ResNet12(Encoder):
    """A strided stem, four residual blocks, pooling, dropout, linear; computed in ``precision``.

    The stem shrinks the map before the first block, which would otherwise cost most. Without it (stride 1) the network
    is the published one, whose first block reads the input itself.

    Args:
        n_mels: mel bins of a segment.
        n_frames: frames of a segment.
        options: keys of the model file's section ``ResNet12``, such as ``widths`` and ``out_dim``.

    Shape: (n, n_mels, n_frames) -> (n, out_dim).

    Raises:
        ConfigError: an option is unknown or wrong, or segments are too small for the poolings.

    Example:
        >>> encoder = ResNet12(n_mels=128, n_frames=157, pooling="mean_max")
        >>> encoder(torch.randn(4, 128, 157)).shape
        torch.Size([4, 64])
    """

    def __init__(self, n_mels: int, n_frames: int, **options: Any) -> None:
        super().__init__()
        config = read_options(ResNet12Config, options, "ResNet12")
        self.out_dim = config.out_dim
        stride, widths = config.stem_stride, config.widths
        self.stem: nn.Module = nn.Identity()
        first = 1
        if stride > 1:
            first = widths[0]
            stem = nn.Conv2d(1, first, 2 * stride - 1, stride, padding=stride - 1, bias=False)
            self.stem = nn.Sequential(stem, nn.BatchNorm2d(first), nn.LeakyReLU(SLOPE))
        pools = [(2, 2)] * config.poolings + [(1, 1)] * (4 - config.poolings)
        sizes = zip([first, *widths[:-1]], widths, pools, strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(*size) for size in sizes))
        self.drop = DropBlock(config.drop_block, config.drop_block_size)
        self.pooling = Pooling(config.pooling, widths[-1])
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(self.pooling.width, config.out_dim)
        stem_size = [(length - 1) // stride + 1 for length in (n_mels, n_frames)]
        self.map_size = (stem_size[0] // 2**config.poolings, stem_size[1] // 2**config.poolings)
        self.input_size = (n_mels, n_frames)
        check_map("ResNet12", self.map_size, n_mels, n_frames)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # for the fast kernels of the CPU and the GPU
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def feature_map(self, x: Tensor) -> Tensor:
        """Shape: (n, mels, frames) -> (n, channels, *map_size)."""
        check_input("ResNet12", x, *self.input_size)
        x = x.contiguous().unsqueeze(-1).movedim(-1, 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            y = self.stem(x)
            for number, block in enumerate(self.blocks):
                y = block(y) if number < 2 else self.drop(block(y))  # as published, in the last two blocks
        features: Tensor = y.to(x.dtype)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        vector = self.pooling(self.feature_map(x).flatten(2).transpose(1, 2))
        embedding: Tensor = self.linear(self.dropout(vector))
        return embedding
