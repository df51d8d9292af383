"""Losses of an episode: prototypical, relation, contrastive prototype (CPL) and angular.

Rows are embeddings of an episode's queries (and their views); ``labels`` number the episode's classes 0..way-1.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def prototypical_loss(scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the scores of the prototypes (Snell et al. 2017), labels smoothed (Szegedy et al. 2016).

    Shape: scores (rows, way), labels (rows,) -> scalar.
    """
    return F.cross_entropy(scores, labels, label_smoothing=smoothing)


def relation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of relation scores against one-hot labels (Sung et al. 2018).

    Shape: scores (rows, way) in [0, 1], labels (rows,) -> scalar.
    """
    return F.mse_loss(scores, F.one_hot(labels, scores.shape[-1]).to(scores.dtype))


def draw_negatives(labels: Tensor, way: int, m: int, generator: torch.Generator) -> Tensor:
    """Draw, for each query row, ``m`` different rows of each other class.

    Shape: labels (rows,), each class with the same number of rows, at least ``m`` -> (rows, (way - 1) * m) row indices.
    """
    rows = len(labels)
    members = torch.argsort(labels, stable=True).view(way, rows // way)
    order = torch.rand(rows, way, rows // way, generator=generator).argsort(dim=-1)[..., :m]
    drawn = members.expand(rows, way, -1).gather(-1, order)
    other = torch.arange(way) != labels.unsqueeze(-1)
    return drawn[other].view(rows, (way - 1) * m)


def cpl_loss(
    prototypes: Tensor,
    queries: Tensor,
    labels: Tensor,
    negatives: Tensor,
    temperature: float,
    reduction: Literal["reference", "mean"],
) -> Tensor:
    """Contrastive prototype loss (Gao et al. 2021): a class's prototype against one of its queries and negatives.

    For each query row the anchor is its class's prototype, the positive the row itself; logits are cosines over the
    temperature. "reference" divides the mean over the rows by their number once more, the scale for which the
    published l_param were searched (Sgouropoulos et al. 2025); "mean" does not.

    Shape: prototypes (way, width), queries (rows, width), labels (rows,), negatives (rows, n) -> scalar.
    """
    cosine = F.normalize(prototypes, dim=-1) @ F.normalize(queries, dim=-1).T / temperature  # (way, rows)
    anchored = cosine[labels]  # (rows, rows): each row's own anchor against all rows
    positive = anchored.diagonal().unsqueeze(-1)
    logits = torch.cat([positive, anchored.gather(-1, negatives)], dim=-1)
    loss = (logits.logsumexp(-1) - positive.squeeze(-1)).mean()
    return loss / len(labels) if reduction == "reference" else loss


class AngularResult(NamedTuple):
    """Loss, and how many anchor-positive pairs and triplets the miner found (scalars on the embeddings' device)."""

    loss: Tensor
    pairs: Tensor
    triplets: Tensor


def angular_loss(
    prototypes: Tensor,
    queries: Tensor,
    labels: Tensor,
    angle_degrees: float,
    alpha_degrees: float,
    prototypes_as_anchors: bool,
) -> AngularResult:
    """Angular loss (Wang et al. 2017) over mined triplets; embeddings are taken as they are.

    A triplet (anchor a, positive p, negative n) is mined where the angle at n, atan(|a - p| / (2 |n - (a + p) / 2|)),
    exceeds ``angle_degrees``. A mined pair (a, p) costs log(1 + sum over its own mined n of
    exp(4 tan^2(alpha) (a + p).n - 2 (1 + tan^2(alpha)) a.p)); the loss is the mean over mined pairs, 0 with none.
    With ``prototypes_as_anchors`` anchors are prototypes, positives and negatives queries; without, prototypes and
    queries form one labeled set.

    Shape: prototypes (way, width), queries (rows, width), labels (rows,).
    """
    classes = torch.arange(len(prototypes), device=labels.device)
    if prototypes_as_anchors:
        anchors, others, anchor_labels, other_labels = prototypes, queries, classes, labels
    else:
        anchors = others = torch.cat([prototypes, queries])
        anchor_labels = other_labels = torch.cat([classes, labels])
    positive = anchor_labels.unsqueeze(1) == other_labels  # an anchor with itself spans no angle: it is never mined
    negative = anchor_labels.unsqueeze(1) != other_labels  # (anchors, others)

    with torch.no_grad():
        half_base = (anchors.unsqueeze(1) - others).norm(dim=-1) / 2  # (anchors, positives)
        center = (anchors.unsqueeze(1) + others) / 2
        height = torch.cdist(center, others.expand(len(anchors), -1, -1), compute_mode="donot_use_mm_for_euclid_dist")
        wide = torch.atan2(half_base.unsqueeze(-1), height) > math.radians(angle_degrees)
        mined = positive.unsqueeze(-1) & negative.unsqueeze(1) & wide  # (anchors, positives, negatives)
        pairs = mined.any(-1)

    slope = math.tan(math.radians(alpha_degrees)) ** 2
    dots = others @ others.T
    a_dot_n = anchors @ others.T
    exponent = 4 * slope * (a_dot_n.unsqueeze(1) + dots) - 2 * (1 + slope) * a_dot_n.unsqueeze(-1)
    # Padding with a zero column gives the 1 inside the logarithm; unmined triplets take no part.
    exponent = F.pad(exponent.masked_fill(~mined, -math.inf), (1, 0))
    cost = exponent.logsumexp(-1)  # a pair without mined negatives costs log(1) = 0
    return AngularResult(cost.sum() / pairs.sum().clamp(min=1), pairs.sum(), mined.sum())
