"""The network that hears a recording frame by frame: what sounds in each, and whether an event does."""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

N_BANDS = 64
WIDTH = 96
"""Of the embedding of a frame."""
CHANNELS = (16, 32, 48, 96, 128)
_CENTER = 1.0
"""Subtracted from the levels; the network takes units of 10 dB above the noise floor, of -0.5 to 3.5."""


class EventNetwork(nn.Module):
    """Convolutions over time and frequency, then over time alone, on every second frame.

    Shape:
        levels (n, frames, N_BANDS), an even number of frames -> embeddings (n, frames, WIDTH), and the log-odds that an
        event sounds in a frame (n, frames).
    """

    def __init__(self) -> None:
        super().__init__()
        self.bands = nn.ModuleList(
            [
                _block(1, CHANNELS[0], (3, 3)),
                _block(CHANNELS[0], CHANNELS[1], (3, 3)),
                _block(CHANNELS[1], CHANNELS[2], (3, 3)),
                _block(CHANNELS[2], CHANNELS[3], (3, 3), time_dilation=2),
            ]
        )
        left = N_BANDS // 2 ** len(self.bands)
        self.across = _block(CHANNELS[3], CHANNELS[4], (1, left), pad=False)
        self.times = nn.ModuleList(
            [_block(CHANNELS[4], CHANNELS[4], (5, 1), time_dilation=dilation) for dilation in (1, 3)]
        )
        self.embedding = nn.Conv2d(CHANNELS[4], WIDTH, 1)
        self.presence = nn.Conv2d(CHANNELS[4], 1, 1)

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Hear recordings."""
        x = levels.unsqueeze(1) - _CENTER
        for number, block in enumerate(self.bands):
            x = F.max_pool2d(block(x), (2, 2) if number == 1 else (1, 2))
        x = self.across(x)
        for block in self.times:
            x = x + block(x)
        embeddings, presence = self.embedding(x)[..., 0].transpose(1, 2), self.presence(x)[:, 0, :, 0]
        return embeddings.repeat_interleave(2, dim=1), presence.repeat_interleave(2, dim=1)

    def folded(self) -> "EventNetwork":
        """A copy that computes the same in evaluation mode, in fewer steps: batch norms folded into convolutions."""
        network = copy.deepcopy(self).eval()
        for block in (*network.bands, network.across, *network.times):
            assert isinstance(block, nn.Sequential)
            conv, norm = cast(nn.Conv2d, block[0]), cast(nn.BatchNorm2d, block[1])
            block[0], block[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _block(
    in_channels: int, channels: int, size: tuple[int, int], *, time_dilation: int = 1, pad: bool = True
) -> nn.Sequential:
    padding = ((size[0] - 1) // 2 * time_dilation, (size[1] - 1) // 2) if pad else (0, 0)
    conv = nn.Conv2d(in_channels, channels, size, padding=padding, dilation=(time_dilation, 1), bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())
