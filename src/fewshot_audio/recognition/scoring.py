"""How enrolled classes judge a clip: prototypes, probabilities, and a distance that tells unknown sounds."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.config.experiment import TieStrategy
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.vote import vote

Floats = NDArray[np.float64]

PRIOR_CLIPS = 5.0
"""How many clips' worth of evidence the validation classes' scatter counts beside a class's own."""


@dataclass(frozen=True)
class Judgement:
    """What classes say of one clip: the index of the best, probabilities (way,), and the unknown score."""

    best: int
    probabilities: Floats
    unknown_score: float


def clip_means(clips: list[Tensor]) -> Tensor:
    """A clip's embedding is the mean over its segments and rows. Shape: each (rows, width) -> (clips, width)."""
    return torch.stack([rows.mean(0) for rows in clips])


def squared_deviations(clips: Tensor) -> Floats:
    """Squared distance of each clip to the mean of its class, float64. Shape: (clips, width) -> (clips,)."""
    exact = clips.double()
    deviations: Floats = (exact - exact.mean(0)).square().sum(1).numpy()
    return deviations


def reach(clips: Tensor, prior: float | None) -> float:
    """How far from a class's prototype a new clip of that class is expected, from its K enrolled clips (K, width).

    The variance of a clip around its class is estimated by the enrolled clips, shrunk to ``prior``, the one that
    validation classes have (K = 1 tells nothing, so that there it is the prior's). A prototype of K clips errs by
    1 / K of it: reach^2 = variance x (1 + 1 / K). Without a prior NaN for K = 1.
    """
    count = len(clips)
    evidence, weight = float(squared_deviations(clips).sum()), float(count - 1)
    if prior is not None:
        evidence, weight = evidence + PRIOR_CLIPS * prior, weight + PRIOR_CLIPS
    return float(np.sqrt(evidence / weight * (1 + 1 / count))) if weight and evidence > 0 else float("nan")


def unknown_score(embedding: Tensor, prototypes: Tensor, reaches: Floats) -> float:
    """Distance to the nearest prototype, each in units of its class's reach; it does not depend on how many there are.

    Shape: embedding (width,), prototypes (way, width), reaches (way,).
    """
    distances: Floats = (embedding.double() - prototypes.double()).square().sum(1).sqrt().numpy()
    return float(np.min(distances / reaches))


def softmax(scores: Floats, temperature: float) -> Floats:
    """Probabilities of each row. Shape: (rows, way) -> (rows, way)."""
    scaled = scores / temperature
    exponentials: Floats = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def row_scores(network: FewShotNetwork, prototypes: Tensor, rows: Tensor) -> Tensor:
    """The network's scores on the CPU, one row at a time as far as bits go. Shape: (rows, width) -> (rows, way)."""
    with torch.inference_mode():
        device = network.norm_mean.device
        prototypes = prototypes.to(device)
        return torch.cat([network.score(prototypes, row.to(device)).cpu() for row in torch.split(rows, 1)])


def judge(
    network: FewShotNetwork,
    prototypes: Tensor,
    reaches: Floats,
    temperature: float,
    tie_strategy: TieStrategy,
    rows: Tensor,
) -> Judgement:
    """Judge one clip by the vote of its rows; its probabilities are the mean over its rows.

    Shape: prototypes (way, width), rows (rows, width).
    """
    scores = row_scores(network, prototypes, rows)
    best = int(vote(scores, torch.ones(len(scores), dtype=torch.bool), tie_strategy))
    probabilities = softmax(scores.double().numpy(), temperature).mean(axis=0)
    return Judgement(best, probabilities, unknown_score(rows.mean(0), prototypes, reaches))
