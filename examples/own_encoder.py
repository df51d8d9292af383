"""An encoder of your own, as a file outside of the package: a small transformer over the frames of a segment.

Python must be able to import this file, and the command must be told that its code may run:

    PYTHONPATH=examples fewshot-audio train -e experiment.json -m model.json --plugin own_encoder \\
        --set encoder_name=own_encoder:FrameTransformer

The options of its section stand in the model file, ``"FrameTransformer": {"depth": 3}``, or in
``--set FrameTransformer.depth=3``; left out, they have the defaults below.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from fewshot_audio import Section, register_encoder


class FrameTransformerConfig(Section):
    """Keys of the model file's section ``FrameTransformer``."""

    depth: Annotated[int, Field(ge=1)] = 2
    """Transformer layers."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads; must divide ``out_dim``."""
    out_dim: Annotated[int, Field(ge=1)] = 64
    """Width of the embedding; every encoder has this key."""


@register_encoder(FrameTransformerConfig)
class FrameTransformer(nn.Module):
    """Frames are projected, get positions, attend to each other, and are averaged.

    Shape: (n, n_mels, n_frames) -> (n, out_dim).
    """

    def __init__(self, n_mels: int, n_frames: int, *, depth: int = 2, heads: int = 4, out_dim: int = 64) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.project = nn.Linear(n_mels, out_dim)
        self.positions = nn.Parameter(0.02 * torch.randn(n_frames, out_dim))
        layer = nn.TransformerEncoderLayer(out_dim, heads, 2 * out_dim, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, depth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed normalized log-mel spectrograms."""
        return self.layers(self.project(x.transpose(1, 2)) + self.positions).mean(dim=1)
