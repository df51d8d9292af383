"""Prototypes of the support set, and the scores of queries against them."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def prototypes(support: Tensor) -> Tensor:
    """Average each class's support embeddings (Snell et al. 2017, https://arxiv.org/abs/1703.05175).

    Shape:
        support (..., n_way, n_shot, width) -> (..., n_way, width); n_shot counts all of a class's rows, its segments
        and their views.

    Example:
        >>> prototypes(torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 4.0], [0.0, 6.0]]]))
        tensor([[1., 0.],
                [0., 5.]])
    """
    return support.mean(dim=-2)


def transform_embeddings(
    embeddings: Tensor,
    transform: Literal["none", "center_l2", "power", "wccn"],
    center: Tensor | None = None,
    whitening: Tensor | None = None,
) -> Tensor:
    """Transform embeddings before prototypes are taken of them; has no parameters and needs nothing of the query set.

    Args:
        embeddings: of support or query segments.
        transform: "center_l2" subtracts ``center`` and divides by the length (CL2N of SimpleShot, Wang et al. 2019,
            https://arxiv.org/abs/1911.04623). "power" takes the square root of each value, keeping its sign, and
            divides by the length (Hu et al. 2021, https://arxiv.org/abs/2006.03806, where no feature is negative).
            "wccn" subtracts ``center``, multiplies by ``whitening`` and divides by the length: within-class covariance
            normalization (Hatch et al. 2006, https://doi.org/10.21437/Interspeech.2006-183).
        center: mean embedding of the training classes; zero if None.
        whitening: of ``within_class_whitening``; the identity if None.

    Shape:
        embeddings (..., width), center (width,), whitening (width, width) -> (..., width).

    Raises:
        ValueError: there is no such transform.
    """
    if transform == "none":
        return embeddings
    if transform == "power":
        return F.normalize(embeddings.sign() * embeddings.abs().sqrt(), dim=-1)
    if transform not in ("center_l2", "wccn"):
        raise ValueError(
            f"the transform of embeddings is {transform!r}, expected 'none', 'center_l2', 'power' or 'wccn'"
        )
    centered = embeddings if center is None else embeddings - center
    return F.normalize(centered if whitening is None else centered @ whitening, dim=-1)


def within_class_whitening(covariance: Tensor, shrinkage: float = 0.1) -> Tensor:
    """The symmetric matrix that makes directions alike in which the clips of a class differ.

    Directions in which they differ most say least of the class. The inverse square root of (covariance + shrinkage x
    mean variance x identity); the identity if the covariance is zero.

    Args:
        covariance: of embeddings within a class, the mean over classes.
        shrinkage: how much of the mean variance is added, so that a rare direction is not blown up. The default was
            chosen on classes of ESC-50 that were left out of training (docs/results.md).

    Shape:
        covariance (width, width) -> (width, width), float64.

    Example:
        >>> within_class_whitening(torch.tensor([[16.0, 0.0], [0.0, 4.0]]), shrinkage=0.0)
        tensor([[0.2500, 0.0000],
                [0.0000, 0.5000]], dtype=torch.float64)
    """
    covariance = covariance.double()
    identity = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    mean_variance = covariance.trace() / len(covariance)
    if not mean_variance > 0:
        return identity
    values, axes = torch.linalg.eigh(covariance + shrinkage * mean_variance * identity)
    whitening: Tensor = (axes * values.clamp(min=1e-12 * float(values.max())).rsqrt()) @ axes.T
    return whitening


def prototypical_scores(
    prototypes: Tensor, queries: Tensor, distance: Literal["euclidean", "squared", "cosine"]
) -> Tensor:
    """Negative distance, or cosine similarity, of each query to each prototype. The gradient at distance 0 is 0.

    Args:
        prototypes: one embedding per class.
        queries: one embedding per row.
        distance: "euclidean" is the plain distance (Sgouropoulos et al. 2025), "squared" its square (Snell et al. 2017,
            https://arxiv.org/abs/1703.05175), "cosine" the similarity (Gidaris and Komodakis 2018,
            https://arxiv.org/abs/1804.09458).

    Shape:
        prototypes (..., n_way, width), queries (..., n_query, width) -> (..., n_query, n_way).

    Raises:
        ValueError: there is no such distance.

    Example:
        >>> prototypical_scores(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[3.0, 4.0]]), "euclidean")
        tensor([[-5., -4.]])
    """
    if distance == "cosine":
        return F.normalize(queries, dim=-1) @ F.normalize(prototypes, dim=-1).mT
    if distance == "euclidean":
        # Differences rather than the matrix product's expansion, which loses the digits of near points.
        return -torch.cdist(queries, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    if distance != "squared":
        raise ValueError(f"distance is {distance!r}, expected 'euclidean', 'squared' or 'cosine'")
    return -(queries.unsqueeze(-2) - prototypes.unsqueeze(-3)).square().sum(-1)
