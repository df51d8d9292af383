"""Pooling of an encoder's positions (of a map, or steps in time) into one vector."""

from typing import Literal

import torch
from torch import Tensor, nn

PoolingKind = Literal["mean", "mean_max", "attention"]


class Pooling(nn.Module):
    """Mean; mean beside maximum (PANNs, Kong et al. 2020, add them); or attention, a mean with learned weights.

    Attention scores each position by one learned vector, softmax over positions (Safari et al. 2020, self-attention
    pooling); it starts as the mean.

    Shape: (n, positions, width) -> (n, self.width), ``width`` or with "mean_max" twice that.
    """

    def __init__(self, kind: PoolingKind, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.width = 2 * width if kind == "mean_max" else width
        self.query = nn.Parameter(torch.zeros(width)) if kind == "attention" else None

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        if self.query is not None:
            return ((x @ self.query).softmax(-1).unsqueeze(1) @ x).squeeze(1)
        mean = x.mean(1)
        return torch.cat([mean, x.amax(1)], dim=-1) if self.kind == "mean_max" else mean
