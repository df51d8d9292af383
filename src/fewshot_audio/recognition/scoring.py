"""How a clip is compared with enrolled classes: votes, probabilities, and a distance that tells unknown sounds."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.config.experiment import TieStrategy
from fewshot_audio.functional.vote import vote
from fewshot_audio.models.network import FewShotNetwork

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

PRIOR_CLIPS = 5.0
"""Weight of the validation classes' scatter beside a class's own, in clips."""


def clip_means(clips: Sequence[Tensor]) -> Tensor:
    """A clip's embedding is the mean over its segments and rows. Shape: each (rows, width) -> (clips, width)."""
    return torch.stack([rows.mean(0) for rows in clips])


def squared_deviations(clips: Tensor) -> float:
    """Sum of the squared distances of clips (clips, width) to their mean, in float64."""
    exact = clips.double()
    return float((exact - exact.mean(0)).square().sum())


def expected_distance(clips: Tensor, scatter: float | None) -> float:
    """How far a new clip of a class is expected from the class's prototype, by its K enrolled clips (K, width).

    The variance of a clip around its class is estimated by the enrolled clips and shrunk towards ``scatter``, the one
    that validation classes have; for K = 1 it is ``scatter``. A prototype of K clips errs by 1 / K of it:
    distance^2 = variance x (1 + 1 / K).

    Returns:
        NaN without scatter for one clip or equal ones.
    """
    count = len(clips)
    evidence, weight = squared_deviations(clips), float(count - 1)
    if scatter is not None:
        evidence, weight = evidence + PRIOR_CLIPS * scatter, weight + PRIOR_CLIPS
    return float(np.sqrt(evidence / weight * (1 + 1 / count))) if weight and evidence > 0 else float("nan")


def expected_distances(classes: Sequence[Tensor], scatter: float | None) -> Floats:
    """``expected_distance`` of each class (clips, width); one that has none takes the mean of the others, or 1."""
    distances = np.array([expected_distance(clips, scatter) for clips in classes])
    missing = np.isnan(distances)
    return np.where(missing, 1.0 if missing.all() else np.nanmean(distances), distances)


def unknown_scores(embeddings: Tensor, prototypes: Tensor, expected: Floats) -> Floats:
    """Distance of each clip to its nearest prototype, each in units of its class's expected distance.

    It does not grow or shrink with the number of classes, as the largest probability does.

    Shape:
        embeddings (clips, width), prototypes (way, width), expected (way,) -> (clips,).
    """
    distances = torch.cdist(
        embeddings.double(), prototypes.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).numpy()
    nearest: Floats = np.min(distances / expected, axis=1)
    return nearest


def row_scores(network: FewShotNetwork, prototypes: Tensor, rows: Tensor) -> Tensor:
    """The network's scores, on the CPU. Shape: prototypes (way, width), rows (rows, width) -> (rows, way)."""
    device = network.norm_mean.device
    with torch.inference_mode():
        return network.score(prototypes.to(device), rows.to(device)).cpu()


def votes(scores: Tensor, counts: Counts, tie_strategy: TieStrategy) -> Counts:
    """The class that each clip's rows vote for.

    Shape:
        scores (rows, way), counts (clips,) of each clip's rows -> (clips,) labels.
    """
    step = np.arange(counts.max())
    starts = np.cumsum(counts) - counts
    rows = torch.from_numpy(starts[:, None] + np.minimum(step, counts[:, None] - 1))
    labels: Counts = vote(scores[rows], torch.from_numpy(step < counts[:, None]), tie_strategy).numpy()
    return labels


def probabilities(scores: Tensor, counts: Counts, temperature: float) -> Floats:
    """A clip's probabilities: the mean over its rows of the softmax of scores / temperature, float64.

    Shape:
        scores (rows, way), counts (clips,) of each clip's rows -> (clips, way).
    """
    rows = (scores.double() / temperature).softmax(-1).numpy()
    sums: Floats = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None]
