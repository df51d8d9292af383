"""Pooling of an encoder's positions (of a map, or steps in time) into one vector."""

from typing import Literal

import torch
from torch import Tensor, nn

PoolingKind = Literal["mean", "mean_max"]


class Pooling(nn.Module):
    """Mean, or mean beside maximum (PANNs, Kong et al. 2020, add them).

    Shape: (n, positions, width) -> (n, self.width), ``width`` or with "mean_max" twice that.
    """

    def __init__(self, kind: PoolingKind, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.width = 2 * width if kind == "mean_max" else width

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        mean = x.mean(1)
        return torch.cat([mean, x.amax(1)], dim=-1) if self.kind == "mean_max" else mean
