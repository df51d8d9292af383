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


def transform_embeddings(
    rows: Tensor, transform: Literal["none", "center_l2", "power"], center: Tensor | None = None
) -> Tensor:
    """Transform embeddings before prototypes are taken of them; no parameters, nothing of the query set.

    "center_l2": subtract ``center``, the mean of the training classes, and divide by the length (CL2N, Wang et al.
    2019, SimpleShot). "power": the square root of each value, its sign kept, divided by the length (Hu et al. 2021,
    whose features are not negative).

    Shape: rows (..., width), center (width,) -> (..., width).
    """
    if transform == "none":
        return rows
    if transform == "power":
        return F.normalize(rows.sign() * rows.abs().sqrt(), dim=-1)
    return F.normalize(rows if center is None else rows - center, dim=-1)


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
