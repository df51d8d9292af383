"""The losses of an episode as modules on ``(embeddings, labels)``, for training loops of your own.

A batch is an episode: of each label the first ``n_shot`` rows are support, the others queries, as ``EpisodeSampler``
orders them. Labels are any integers.
"""

from abc import ABC, abstractmethod
from typing import get_args

import torch
from torch import Tensor, nn

from fewshot_audio.config.experiment import Distance
from fewshot_audio.config.losses import Reduction
from fewshot_audio.functional.labeled_batch import split_batch
from fewshot_audio.functional.losses import angular_loss, cpl_loss, draw_negatives, prototypical_loss, relation_loss
from fewshot_audio.functional.prototypes import prototypes, prototypical_scores


class EpisodeLoss(nn.Module, ABC):
    """Base of the losses: makes prototypes of the support rows, and computes in float32 at least.

    Args:
        n_shot: support rows of each class.
    """

    def __init__(self, n_shot: int) -> None:
        super().__init__()
        _require(n_shot >= 1, f"n_shot is {n_shot}, expected 1 or more")
        self.n_shot = n_shot

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of one episode.

        Shape:
            embeddings (n, width), labels (n,) -> scalar.

        Raises:
            ValueError: a class has no more than ``n_shot`` rows, there are fewer than two classes, or a shape or dtype
                is another; names the classes and their counts.
        """
        rows = split_batch(embeddings, labels, self.n_shot)
        with torch.autocast(embeddings.device.type, enabled=False):
            support, queries = (
                part.float() if part.dtype in (torch.float16, torch.bfloat16) else part
                for part in (rows.support, rows.queries)
            )
            return self.loss(prototypes(support), queries, rows.labels)

    @abstractmethod
    def loss(self, prototypes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """The loss of query rows against prototypes; ``labels`` number the classes from 0.

        Shape:
            prototypes (n_way, width), queries (n_query, width), labels (n_query,) -> scalar.
        """


class PrototypicalLoss(EpisodeLoss):
    """Cross-entropy of the queries' scores (Snell et al. 2017, https://arxiv.org/abs/1703.05175).

    Args:
        n_shot: support rows of each class.
        distance: how queries are compared with prototypes, as in ``functional.prototypes.prototypical_scores``.
        label_smoothing: share of the target that all classes divide equally.
        score_scale: factor of the scores; cosines need one of about 10.

    Example:
        >>> loss = PrototypicalLoss(n_shot=1)
        >>> embeddings = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], requires_grad=True)
        >>> loss(embeddings, torch.tensor([0, 0, 1, 1]))  # log(1 + exp(-5))
        tensor(0.0067, grad_fn=<NllLossBackward0>)
    """

    def __init__(
        self,
        n_shot: int,
        *,
        distance: Distance = "euclidean",
        label_smoothing: float = 0.0,
        score_scale: float = 1.0,
    ) -> None:
        super().__init__(n_shot)
        _require(distance in get_args(Distance), f"distance is {distance!r}, expected one of {get_args(Distance)}")
        _require(0 <= label_smoothing < 1, f"label_smoothing is {label_smoothing}, expected 0 or more and below 1")
        self.distance: Distance = distance
        self.label_smoothing = label_smoothing
        self.score_scale = score_scale

    def loss(self, prototypes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the prototypes."""
        scores = self.score_scale * prototypical_scores(prototypes, queries, self.distance)
        return prototypical_loss(scores, labels, self.label_smoothing)


class CPLLoss(EpisodeLoss):
    """Contrastive prototype loss (Gao et al. 2021): a prototype against one of its queries and others' queries.

    Give it embeddings of a projection head. Prototypes are means of these; the published training averages before the
    head, and projects the means. Cosines are compared, so that lengths of queries and prototypes do not matter.

    Args:
        n_shot: support rows of each class.
        negatives: queries of each other class that are drawn against a query (M); all classes need the same number of
            queries, at least that many.
        temperature: divisor of the cosines (T).
        reduction: "mean" over the queries, or "reference", the mean divided by their number once more.
        generator: a CPU generator that draws the negatives; torch's global one if None.

    Example:
        >>> loss = CPLLoss(n_shot=1, negatives=1, temperature=1.0)
        >>> embeddings = torch.eye(2).repeat_interleave(2, dim=0)
        >>> loss(embeddings, torch.tensor([4, 4, 9, 9]))  # log(1 + 1/e)
        tensor(0.3133)
    """

    def __init__(
        self,
        n_shot: int,
        negatives: int,
        temperature: float,
        *,
        reduction: Reduction = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_shot)
        _require(negatives >= 1, f"negatives is {negatives}, expected 1 or more")
        _require(temperature > 0, f"temperature is {temperature}, expected above 0")
        _require(reduction in get_args(Reduction), f"reduction is {reduction!r}, expected one of {get_args(Reduction)}")
        self.negatives = negatives
        self.temperature = temperature
        self.reduction: Reduction = reduction
        self.generator = generator

    def loss(self, prototypes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Draw negatives, then contrast."""
        negatives = draw_negatives(labels.cpu(), len(prototypes), self.negatives, self.generator)
        negatives = negatives.to(queries.device)
        return cpl_loss(prototypes, queries, labels, negatives, self.temperature, self.reduction)


class AngularLoss(EpisodeLoss):
    """Angular loss (Wang et al. 2017, https://arxiv.org/abs/1708.01682) over mined triplets, 0 without any.

    Embeddings are taken as they are: give it those of a projection head, or normalized ones.

    Args:
        n_shot: support rows of each class.
        angle: triplets whose angle at the negative is larger are mined, degrees.
        alpha: upper bound of the angle in the loss, degrees.
        prototypes_as_anchors: anchors are prototypes only; if not, prototypes and queries form one labeled set.

    Example:
        >>> loss = AngularLoss(n_shot=1, angle=30.0, alpha=45.0)
        >>> embeddings = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [1.0, 1.0]])
        >>> loss(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(16.0002)
    """

    def __init__(
        self, n_shot: int, *, angle: float = 15.0, alpha: float = 40.0, prototypes_as_anchors: bool = True
    ) -> None:
        super().__init__(n_shot)
        _require(0 <= angle < 90, f"angle is {angle}, expected 0 or more and below 90 degrees")
        _require(0 < alpha < 90, f"alpha is {alpha}, expected above 0 and below 90 degrees")
        self.angle = angle
        self.alpha = alpha
        self.prototypes_as_anchors = prototypes_as_anchors

    def loss(self, prototypes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Mean over the mined pairs."""
        return angular_loss(prototypes, queries, labels, self.angle, self.alpha, self.prototypes_as_anchors).loss


class RelationLoss(EpisodeLoss):
    """Squared error of relation scores (Sung et al. 2018, https://arxiv.org/abs/1711.06025).

    Args:
        n_shot: support rows of each class.
        head: scores prototypes (n_way, width) and queries (n_query, width) as (n_query, n_way) in [0, 1], such as
            ``RelationHead``; its parameters are the loss's, so give them to the optimizer too.

    Example:
        >>> from fewshot_audio import RelationHead
        >>> loss = RelationLoss(n_shot=1, head=RelationHead(2 * 8))
        >>> value = loss(torch.randn(6, 8), torch.tensor([0, 0, 1, 1, 2, 2]))
        >>> value.shape, len(list(loss.parameters()))
        (torch.Size([]), 8)
    """

    def __init__(self, n_shot: int, head: nn.Module) -> None:
        super().__init__(n_shot)
        self.head = head

    def loss(self, prototypes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Mean over queries and classes."""
        return relation_loss(self.head(prototypes, queries), labels)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
