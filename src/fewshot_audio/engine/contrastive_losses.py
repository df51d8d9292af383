"""The contrastive losses of the paper as parts, and what every contrastive loss of an episode is.

A loss is made from the options in its section. It has no weights of its own: those would not be trained.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.losses import CONTRASTIVE_LOSSES, Reduction
from fewshot_audio.errors import ConfigError
from fewshot_audio.functional import losses
from fewshot_audio.runtime.tensors import send


class Mined(NamedTuple):
    """A loss over mined pairs, and how many there were; both scalars."""

    loss: Tensor
    pairs: Tensor


class ContrastiveLoss(Protocol):
    """A contrastive loss of an episode's projected embeddings."""

    def __call__(self, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor | Mined:
        """Compute the loss.

        Args:
            anchors: one per class, made of its prototype: projected, normalized or as it is.
            queries: projected queries, L2-normalized, the same number of each class, ordered by class.
            labels: class of each query.
            generator: on the CPU; all random numbers come from it, so that a resumed run draws the same.

        Shape:
            anchors (way, width), queries (n, width), labels (n,).

        Returns:
            A scalar; or, if the loss is over mined pairs, ``Mined`` (or a named tuple with the same two fields), whose
            ``pairs``, a scalar or a number, is logged.
        """


def contrast(
    criterion: ContrastiveLoss, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Call a contrastive loss; return its value and the number of its mined pairs, both scalars.

    Raises:
        ConfigError: it returns something else.
    """
    result: object = criterion(anchors, queries, labels, generator)
    loss = getattr(result, "loss", result)
    if not isinstance(loss, Tensor) or loss.ndim > 0:
        returned = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        raise ConfigError(
            f"the contrastive loss {type(criterion).__name__} returned {returned}, expected a tensor without dimensions"
        )
    return loss, torch.as_tensor(getattr(result, "pairs", 0), dtype=torch.float32, device=loss.device)


def build_contrastive_loss(experiment: ExperimentConfig) -> ContrastiveLoss | None:
    """Build the contrastive loss of an experiment from its section; None if it uses none.

    Raises:
        ConfigError: it has weights, or what its own code refuses.
    """
    name = experiment.contrastive
    if name is None:
        return None
    options = getattr(experiment.loss, name).model_dump(exclude={"use"})
    loss: ContrastiveLoss = CONTRASTIVE_LOSSES.find(name).make(**options)
    if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
        raise ConfigError(f"loss.{name} has weights of its own, which nothing would train: expected a loss without any")
    return loss


class CPL:
    """Contrastive prototype loss with negatives drawn from the queries (``functional.losses.cpl_loss``)."""

    def __init__(self, m_param: int, t_param: float, reduction: Reduction) -> None:
        self.negatives, self.temperature, self.reduction = m_param, t_param, reduction

    def __call__(self, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the negatives and compute the loss; see ``ContrastiveLoss``."""
        way = len(anchors)
        classes = torch.arange(way).repeat_interleave(len(queries) // way)  # as labels, on the CPU
        negatives = send(losses.draw_negatives(classes, way, self.negatives, generator), queries.device)
        return losses.cpl_loss(anchors, queries, labels, negatives, self.temperature, self.reduction)


class Angular:
    """Angular loss over mined triplets (``functional.losses.angular_loss``)."""

    def __init__(self, angle: float, alpha: float, prototypes_as_anchors: bool) -> None:
        self.angle, self.alpha, self.prototypes_as_anchors = angle, alpha, prototypes_as_anchors

    def __call__(self, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator) -> Mined:
        """Mine and compute the loss; see ``ContrastiveLoss``."""
        result = losses.angular_loss(anchors, queries, labels, self.angle, self.alpha, self.prototypes_as_anchors)
        return Mined(result.loss, result.pairs)
