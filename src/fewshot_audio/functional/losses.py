"""Losses of an episode: prototypical, relation, contrastive prototype (CPL) and angular.

Queries are the embeddings of an episode's query segments, or of views of them; labels number the episode's classes
from 0 to n_way - 1.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def prototypical_loss(scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the scores of the prototypes (Snell et al. 2017, https://arxiv.org/abs/1703.05175).

    Args:
        scores: score of each query for each prototype, such as the negative distance.
        labels: class of each query.
        smoothing: share of the target that all classes divide equally (Szegedy et al. 2016).

    Shape:
        scores (n_query, n_way), labels (n_query,) -> scalar.

    Example:
        >>> scores = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
        >>> prototypical_loss(scores, torch.tensor([0, 1]))  # (log 2 + log 4/3) / 2
        tensor(0.4904)
    """
    return F.cross_entropy(scores, labels, label_smoothing=smoothing)


def relation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of relation scores against one-hot labels (Sung et al. 2018, https://arxiv.org/abs/1711.06025).

    Args:
        scores: relation of each query to each class, in [0, 1].
        labels: class of each query.

    Shape:
        scores (n_query, n_way), labels (n_query,) -> scalar.

    Example:
        >>> relation_loss(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([0, 1]))
        tensor(0.1250)
    """
    return F.mse_loss(scores, F.one_hot(labels, scores.shape[-1]).to(scores.dtype))


def draw_negatives(labels: Tensor, n_way: int, m: int, generator: torch.Generator | None) -> Tensor:
    """Draw, for each query, ``m`` different queries of each other class: the negatives of ``cpl_loss``.

    Args:
        labels: class of each query, on the CPU; each class has the same number of queries, at least ``m``.
        n_way: number of classes.
        m: negatives of each other class.
        generator: a CPU generator; torch's global one if None.

    Shape:
        labels (n_query,) -> (n_query, (n_way - 1) * m) indices of queries.

    Raises:
        ValueError: the classes have other numbers of queries; names them.
    """
    n_query = len(labels)
    counts = [int((labels == number).sum()) for number in range(n_way)]
    if min(counts) < m or min(counts) != max(counts) or sum(counts) != n_query:
        others = n_query - sum(counts)
        raise ValueError(
            f"classes 0 to {n_way - 1} have {counts} queries{f' and other labels {others}' if others else ''}; "
            f"negatives are drawn from the same number of queries of each class, at least {m}"
        )
    members = torch.argsort(labels, stable=True).view(n_way, n_query // n_way)
    order = torch.rand(n_query, n_way, n_query // n_way, generator=generator).argsort(dim=-1)[..., :m]
    candidates = members.expand(n_query, n_way, -1).gather(-1, order)
    other_class = torch.arange(n_way) != labels.unsqueeze(-1)
    return candidates[other_class].view(n_query, (n_way - 1) * m)


def cpl_loss(
    prototypes: Tensor,
    queries: Tensor,
    labels: Tensor,
    negatives: Tensor,
    temperature: float,
    reduction: Literal["reference", "mean"],
) -> Tensor:
    """Contrastive prototype loss (Gao et al. 2021): a class's prototype against one of its queries and its negatives.

    For each query the anchor is the prototype of its class and the positive is the query itself; the logits are
    cosines divided by the temperature.

    Args:
        prototypes: prototype of each class.
        queries: embedding of each query.
        labels: class of each query.
        negatives: indices of the queries that are each query's negatives, as ``draw_negatives`` returns them.
        temperature: divisor of the cosines.
        reduction: "mean" over the queries; "reference" divides the mean by the number of queries once more, the scale
            for which the published values of l_param were searched (Sgouropoulos et al. 2025).

    Shape:
        prototypes (n_way, width), queries (n_query, width), labels (n_query,), negatives (n_query, n) -> scalar.

    Example:
        >>> prototypes, queries = torch.eye(2), torch.eye(2)
        >>> cpl_loss(prototypes, queries, torch.tensor([0, 1]), torch.tensor([[1], [0]]), 1.0, "mean")  # log(1 + 1/e)
        tensor(0.3133)
    """
    cosine = F.normalize(prototypes, dim=-1) @ F.normalize(queries, dim=-1).T / temperature  # (n_way, n_query)
    logits = cosine[labels]  # (n_query, n_query): each query's anchor against all queries
    positive = logits.diagonal().unsqueeze(-1)
    logits = torch.cat([positive, logits.gather(-1, negatives)], dim=-1)
    loss = (logits.logsumexp(-1) - positive.squeeze(-1)).mean()
    return loss / len(labels) if reduction == "reference" else loss


class AngularResult(NamedTuple):
    """The angular loss and what it was mined over; scalars on the embeddings' device.

    Attributes:
        loss: mean over the mined pairs.
        pairs: number of mined pairs of anchor and positive.
        triplets: number of mined triplets.
    """

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
    """Angular loss (Wang et al. 2017, https://arxiv.org/abs/1708.01682) over mined triplets of embeddings as they are.

    A triplet (anchor a, positive p, negative n) is mined if the angle at n, atan(|a - p| / (2 |n - (a + p) / 2|)),
    exceeds ``angle_degrees``. A mined pair (a, p) costs log(1 + sum over its mined n of
    exp(4 tan^2(alpha) (a + p).n - 2 (1 + tan^2(alpha)) a.p)). The loss is the mean over the mined pairs, 0 without any.

    Args:
        prototypes: prototype of each class.
        queries: embedding of each query.
        labels: class of each query.
        angle_degrees: least angle of a mined triplet.
        alpha_degrees: the loss's angle alpha.
        prototypes_as_anchors: if true, anchors are prototypes, positives and negatives are queries; if false,
            prototypes and queries form one labeled set from which all three are taken.

    Shape:
        prototypes (n_way, width), queries (n_query, width), labels (n_query,).

    Example:
        >>> prototypes, queries = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([[2.0, 0.0], [1.0, 1.0]])
        >>> angular_loss(prototypes, queries, torch.tensor([0, 1]), 30.0, 45.0, prototypes_as_anchors=True)
        AngularResult(loss=tensor(16.0002), pairs=tensor(2), triplets=tensor(2))
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
        triplets = positive.unsqueeze(-1) & negative.unsqueeze(1) & wide  # (anchors, positives, negatives)
        n_pairs = triplets.any(-1).sum()

    slope = math.tan(math.radians(alpha_degrees)) ** 2
    dots = others @ others.T
    a_dot_n = anchors @ others.T
    exponent = 4 * slope * (a_dot_n.unsqueeze(1) + dots) - 2 * (1 + slope) * a_dot_n.unsqueeze(-1)
    # A column of zeros gives the 1 inside the logarithm; triplets that are not mined take no part.
    exponent = F.pad(exponent.masked_fill(~triplets, -math.inf), (1, 0))
    cost = exponent.logsumexp(-1)  # a pair without mined negatives costs log(1) = 0
    return AngularResult(cost.sum() / n_pairs.clamp(min=1), n_pairs, triplets.sum())
