"""The loss of one training episode: prototypical or relation loss, plus the contrastive branch."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.losses import LossConfig
from fewshot_audio.engine.auxiliary_classifier import AuxiliaryClassification
from fewshot_audio.engine.contrastive_losses import ContrastiveLoss, build_contrastive_loss, contrast
from fewshot_audio.functional import losses
from fewshot_audio.functional.prototypes import prototypes
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.tensors import send


class EpisodeResult(NamedTuple):
    """Scalars of one episode; ``contrastive`` is before its weight, ``pairs`` counts its mined pairs."""

    loss: Tensor
    accuracy: Tensor
    contrastive: Tensor
    pairs: Tensor


@dataclass(frozen=True)
class Objective:
    """What training minimizes: L = L_prototypical + l_param x L_contrastive (Sgouropoulos et al. 2025).

    Attributes:
        loss: weights and settings of the losses.
        contrastive: the contrastive loss, which needs a network with a projection head; None for no such loss.
        project_prototypes: prototypes go through the projection head too.
        normalize_prototypes: L2-normalize prototypes that do not.
    """

    loss: LossConfig
    contrastive: ContrastiveLoss | None
    project_prototypes: bool
    normalize_prototypes: bool

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> Self:
        """The objective of an experiment. Raises ConfigError if its contrastive loss cannot be built."""
        contrastive = build_contrastive_loss(experiment)
        return cls(experiment.loss, contrastive, experiment.project_prototypes, experiment.normalize_prototypes)


def episode_loss(
    network: FewShotNetwork,
    objective: Objective,
    support: Tensor,
    query: Tensor,
    generator: torch.Generator,
    auxiliary: AuxiliaryClassification | None = None,
) -> EpisodeResult:
    """Compute the loss of one episode.

    Support, query and all their views go through the encoder in one batch. Without attention every view is a row.

    Args:
        network: in training mode.
        objective: the losses to minimize.
        support: normalized views of the support segments.
        query: normalized views of the query segments; the number of views may differ without attention.
        generator: on the CPU; draws negatives and the order of views.
        auxiliary: classification of the same embeddings among all training classes, if it is used.

    Shape: support (way, shot, views, mels, frames), query (way, n_query, views, mels, frames).
    """
    way, shot = support.shape[:2]
    n_support, n_query = way * shot, way * query.shape[1]
    support_views, query_views = support.shape[2], query.shape[2]
    embeddings = network.encode(torch.cat([support.flatten(0, 2), query.flatten(0, 2)]))
    support_tokens = embeddings[: n_support * support_views].view(n_support, support_views, -1)
    query_tokens = embeddings[n_support * support_views :].view(n_query, query_views, -1)
    if network.attention is None:
        support_rows, query_rows = support_tokens, query_tokens
    else:
        fused = network.fuse(torch.cat([support_tokens, query_tokens]))
        support_rows, query_rows = fused[:n_support], fused[n_support:]

    centers = prototypes(support_rows.reshape(way, -1, support_rows.shape[-1]))
    rows = query_rows.flatten(0, 1)
    labels = torch.arange(way, device=rows.device).repeat_interleave(len(rows) // way)
    scores = network.score(centers, rows)
    if network.relation is not None:
        classification = losses.relation_loss(scores, labels)
    else:
        classification = losses.prototypical_loss(scores, labels, objective.loss.label_smoothing)
    if auxiliary is not None:
        classification = auxiliary.blend(classification, support_rows, query_rows)
    accuracy = (scores.argmax(-1) == labels).float().mean()
    zero = torch.zeros((), device=rows.device)
    if network.projection is None or objective.contrastive is None:
        return EpisodeResult(classification, accuracy, zero, zero)

    if network.attention is not None:
        rows = network.fuse(_permute_views(query_tokens, generator)).flatten(0, 1)
    queries = network.projection(rows)
    if objective.project_prototypes:
        anchors = network.projection(centers)
    else:
        anchors = F.normalize(centers, dim=-1) if objective.normalize_prototypes else centers
    contrastive, pairs = contrast(objective.contrastive, anchors, queries, labels, generator)
    return EpisodeResult(classification + objective.loss.l_param * contrastive, accuracy, contrastive, pairs)


def _permute_views(tokens: Tensor, generator: torch.Generator) -> Tensor:
    """Shuffle views 1.. of each example, the original staying first. Shape: (n, views, width) -> the same."""
    n, views, width = tokens.shape
    order = torch.rand(n, views - 1, generator=generator).argsort(-1) + 1
    order = send(torch.cat([torch.zeros(n, 1, dtype=torch.int64), order], dim=1), tokens.device)
    return tokens.gather(1, order.unsqueeze(-1).expand(n, views, width))
