"""Heads on top of embeddings: projection for the contrastive losses, relation instead of distances."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Linear, ReLU, linear, L2 normalization.

    Args:
        input_dim: width of an embedding.
        hidden_dim: width of the hidden layer.
        output_dim: width of the projected embedding.

    Shape: (..., input_dim) -> (..., output_dim), unit length.

    Example:
        >>> ProjectionHead(64)(torch.randn(10, 64)).shape
        torch.Size([10, 256])
    """

    def __init__(self, input_dim: int, hidden_dim: int = 128, output_dim: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, output_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Project and normalize."""
        return F.normalize(self.layers(x), dim=-1)


class RelationHead(nn.Module):
    """Relation module (Sung et al. 2018): scores each prototype and query set side by side.

    Args:
        input_dim: twice the width of an embedding.
        hidden_dim1: width of the first hidden layer.
        hidden_dim2: width of the second.
        hidden_dim3: width of the third.
        out_dim: 1, the relation score.

    Shape: prototypes (..., way, width), queries (..., rows, width) -> (..., rows, way) in (0, 1).

    Example:
        >>> prototypes, queries = torch.randn(5, 64), torch.randn(10, 64)
        >>> RelationHead(2 * 64)(prototypes, queries).shape
        torch.Size([10, 5])
    """

    def __init__(
        self, input_dim: int, hidden_dim1: int = 256, hidden_dim2: int = 128, hidden_dim3: int = 256, out_dim: int = 1
    ) -> None:
        super().__init__()
        widths = [input_dim, hidden_dim1, hidden_dim2, hidden_dim3, out_dim]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, prototypes: Tensor, queries: Tensor) -> Tensor:
        """Score every query against every prototype."""
        way, rows = prototypes.shape[-2], queries.shape[-2]
        left = prototypes.unsqueeze(-3).expand(*queries.shape[:-1], way, -1)
        right = queries.unsqueeze(-2).expand(*queries.shape[:-2], rows, way, -1)
        scores: Tensor = self.layers(torch.cat([left, right], dim=-1)).squeeze(-1)
        return scores.sigmoid()
