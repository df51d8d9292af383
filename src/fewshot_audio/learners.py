"""How a few-shot network decides: prototypes from the support set, then scores for the queries."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def prototypes(support: Tensor) -> Tensor:
    """Mean embedding of each class's support rows (Snell et al. 2017).

    Shape: support (..., way, rows, width) -> (..., way, width).
    """
    return support.mean(dim=-2)


def prototypical_scores(
    prototypes: Tensor, queries: Tensor, distance: Literal["euclidean", "squared", "cosine"]
) -> Tensor:
    """Negative distance, or cosine similarity, of each query row to each prototype.

    "euclidean" is the plain distance of Sgouropoulos et al. 2025, "squared" that of Snell et al. 2017, "cosine" the
    similarity of Gidaris and Komodakis 2018. The gradient at distance 0 is 0.

    Shape: prototypes (..., way, width), queries (..., rows, width) -> (..., rows, way).
    """
    if distance == "cosine":
        return F.normalize(queries, dim=-1) @ F.normalize(prototypes, dim=-1).mT
    if distance == "euclidean":
        # Differences rather than the matrix product's expansion, which loses the digits of near points.
        return -torch.cdist(queries, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    return -(queries.unsqueeze(-2) - prototypes.unsqueeze(-3)).square().sum(-1)
