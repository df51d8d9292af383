"""How enrolled classes judge clips: prototypes, votes, probabilities, and a distance that tells unknown sounds."""

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
"""How many clips' worth of evidence the validation classes' scatter counts beside a class's own."""


def clip_means(clips: Sequence[Tensor]) -> Tensor:
    """A clip's embedding is the mean over its segments and rows. Shape: each (rows, width) -> (clips, width)."""
    return torch.stack([rows.mean(0) for rows in clips])


def squared_deviations(clips: Tensor) -> float:
    """Sum of the squared distances of clips (clips, width) to their mean, in float64."""
    exact = clips.double()
    return float((exact - exact.mean(0)).square().sum())


def reach(clips: Tensor, prior: float | None) -> float:
    """How far from a class's prototype a new clip of that class is expected, from its K enrolled clips (K, width).

    The variance of a clip around its class is estimated by the enrolled clips, shrunk to ``prior``, the one that
    validation classes have (K = 1 tells nothing, so that there it is the prior's). A prototype of K clips errs by
    1 / K of it: reach^2 = variance x (1 + 1 / K). NaN where nothing is known: one clip, or equal ones, and no prior.
    """
    count = len(clips)
    evidence, weight = squared_deviations(clips), float(count - 1)
    if prior is not None:
        evidence, weight = evidence + PRIOR_CLIPS * prior, weight + PRIOR_CLIPS
    return float(np.sqrt(evidence / weight * (1 + 1 / count))) if weight and evidence > 0 else float("nan")


def reaches(classes: Sequence[Tensor], prior: float | None) -> Floats:
    """``reach`` of each class (clips, width); without calibration a class of one clip borrows from the others."""
    found = np.array([reach(clips, prior) for clips in classes])
    return np.where(np.isnan(found), 1.0 if np.isnan(found).all() else np.nanmean(found), found)


def unknown_scores(embeddings: Tensor, prototypes: Tensor, reaches: Floats) -> Floats:
    """Distance of each clip to its nearest prototype, each in units of its class's reach.

    It does not grow or shrink with the number of classes, as the largest probability does.
    Shape: embeddings (clips, width), prototypes (way, width), reaches (way,) -> (clips,).
    """
    distances = torch.cdist(
        embeddings.double(), prototypes.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).numpy()
    nearest: Floats = np.min(distances / reaches, axis=1)
    return nearest


def row_scores(network: FewShotNetwork, prototypes: Tensor, rows: Tensor) -> Tensor:
    """The network's scores, on the CPU. Shape: prototypes (way, width), rows (rows, width) -> (rows, way)."""
    device = network.norm_mean.device
    with torch.inference_mode():
        return network.score(prototypes.to(device), rows.to(device)).cpu()


def votes(scores: Tensor, counts: Counts, tie_strategy: TieStrategy) -> Counts:
    """The vote of each clip's rows. Shape: scores (rows, way), counts (clips,) of rows -> (clips,) labels."""
    step = np.arange(counts.max())
    starts = np.cumsum(counts) - counts
    where = torch.from_numpy(starts[:, None] + np.minimum(step, counts[:, None] - 1))
    labels: Counts = vote(scores[where], torch.from_numpy(step < counts[:, None]), tie_strategy).numpy()
    return labels


def probabilities(scores: Tensor, counts: Counts, temperature: float) -> Floats:
    """A clip's probabilities: the mean over its rows of the softmax of scores / temperature, float64.

    Shape: scores (rows, way), counts (clips,) of rows -> (clips, way).
    """
    rows = (scores.double() / temperature).softmax(-1).numpy()
    sums: Floats = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None]
