"""Rotations of complex numbers, looked up: a third of the time of cosines and sines."""

import math

import torch
from torch import Tensor

PARTS = 4096
"""A turn has this many parts; rounding to them is an error 67 dB under what is turned."""


def rotations(parts: Tensor) -> Tensor:
    """Return ``exp(2 pi i parts / PARTS)``. Shape: any shape of integers -> the same shape, complex64."""
    angles = torch.arange(PARTS, device=parts.device) * (2 * math.pi / PARTS)
    circle = torch.complex(angles.cos(), angles.sin())
    return circle.index_select(0, parts.bitwise_and(PARTS - 1).reshape(-1)).view(parts.shape)
