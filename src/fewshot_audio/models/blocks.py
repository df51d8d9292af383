"""The convolution block of the CNN and the CRNN."""

import torch
from torch import Tensor, nn

from fewshot_audio.models.first_block import KERNEL, PADDING, conv_pool_norm, is_first_in_training


class ConvBlock(nn.Module):
    """Convolution 3x3, batch norm, ReLU, max pool.

    Shape: (n, in_channels, mels, frames) -> (n, channels, mels // pool, frames // pool).
    """

    def __init__(self, in_channels: int, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, KERNEL, padding=PADDING)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; max pooling comes before ReLU, which is the same function and cheaper."""
        if is_first_in_training(self, x):
            return torch.relu(conv_pool_norm(x, self.conv, self.norm, self.pool))
        return torch.relu(self.pool(self.norm(self.conv(x))))
