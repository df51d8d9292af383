"""The trained part of an experiment on frozen encoders: their embeddings, brought to one scale, and a linear layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fewshot_audio.config.model import FrozenConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.base import Encoder
from fewshot_audio.models.frozen.references import read_descriptions

BLOCK_LENGTH = 8.0
"""Root mean square length of an encoder's scaled embeddings, however wide they are: all encoders weigh alike."""

FARTHEST = 5.0
"""Deviations from the mean at which a number is cut off."""

LEAST_DEVIATION = 1e-6  # in deviations of an encoder's numbers on average; below it, a number says nothing


class FrozenLayers(Encoder):
    """Scales the embeddings of frozen encoders side by side, and maps them to ``out_dim`` by a linear layer.

    Each number loses its mean and is divided by its deviation over the training classes, as the decision of a
    recognizer does with the enrolled clips; then each encoder's numbers get the same root mean square length.

    Args:
        config: its ``definition`` has the encoders' widths.

    Shape: (n, width of all encoders) -> (n, out_dim).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: FrozenConfig) -> None:
        """Raises ConfigError if ``config.definition`` is missing or wrong."""
        super().__init__()
        if config.definition is None:
            raise ConfigError("Frozen.definition is missing: a run fills it in when it starts")
        self.out_dim = config.out_dim
        self.widths = [description.width for description in read_descriptions(config.definition, "the model config")]
        self.register_buffer("mean", torch.zeros(sum(self.widths)))
        self.register_buffer("scale", torch.ones(sum(self.widths)))
        self.linear = nn.Linear(sum(self.widths), config.out_dim)

    def set_scale(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean and deviation of each number over the training classes. Shape: both (width of all encoders,)."""
        parts = [_scale(part) for part in torch.split(deviation.double(), self.widths)]
        self.mean.copy_(mean)
        self.scale.copy_(torch.cat(parts))

    def scaled(self, x: Tensor) -> Tensor:
        """Embeddings on one scale. Shape: (n, width of all encoders) -> the same."""
        standard = ((x - self.mean) * self.scale).clamp(-FARTHEST, FARTHEST)
        return standard * torch.cat([x.new_full((width,), BLOCK_LENGTH / width**0.5) for width in self.widths])

    def forward(self, x: Tensor) -> Tensor:
        """Scale, then map."""
        embedding: Tensor = self.linear(self.scaled(x))
        return embedding


def weighted_moments(rows: Sequence[Tensor], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each number over parts of rows, in float64.

    Args:
        rows: the parts, each (n, width).
        weights: of a row of each part.

    Shape: both (width,).
    """
    total = sum(weight * len(part) for part, weight in zip(rows, weights, strict=True))
    sums = [weight * part.double().sum(0) for part, weight in zip(rows, weights, strict=True)]
    mean = torch.stack(sums).sum(0) / total
    squares = [weight * (part.double() - mean).square().sum(0) for part, weight in zip(rows, weights, strict=True)]
    return mean, (torch.stack(squares).sum(0) / total).sqrt()


def _scale(deviation: Tensor) -> Tensor:
    """The inverse deviation of one encoder's numbers; 0 of those that never vary."""
    varies = deviation > LEAST_DEVIATION * deviation.mean()
    return torch.where(varies, 1 / deviation.where(varies, torch.ones_like(deviation)), 0.0)
