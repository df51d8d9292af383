"""An encoder and a contrastive loss as a package from outside has them; importing this module registers them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio import ContrastiveSection, Section, register_contrastive_loss, register_encoder


class BandsConfig(Section):
    out_dim: int = 8
    """Width of the output."""
    hidden: int
    """Width of the hidden layer."""
    bias: bool = True
    """The layers have biases."""


@register_encoder(BandsConfig)
class Bands(nn.Module):
    """Mean of each mel bin over time and two layers; a plain module, without the package's base class."""

    def __init__(self, n_mels: int, n_frames: int, *, out_dim: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(n_mels, hidden, bias)
        self.second = nn.Linear(hidden, out_dim, bias)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.second(F.relu(self.first(x.mean(-1))))
        return output


class MeansConfig(BandsConfig):
    hidden: int = 6
    """Width of the hidden layer."""


@register_encoder(MeansConfig)
class Means(Bands):
    """The same with a default for each option."""


class HingeConfig(ContrastiveSection):
    margin: float = 0.3
    """Margin between the cosines."""


@register_contrastive_loss(HingeConfig)
class Hinge:
    """A query is nearer to its own anchor than to any other, by a margin."""

    def __init__(self, margin: float) -> None:
        self.margin = margin

    def __call__(self, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        cosine = queries @ F.normalize(anchors, dim=-1).T
        own = F.one_hot(labels, len(anchors)).bool()
        return F.relu(self.margin + cosine.masked_fill(own, -1).amax(-1) - cosine[own]).mean()


@register_contrastive_loss(HingeConfig)
class Weighted(nn.Module):
    """Has a weight, which nothing would train."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), margin))
