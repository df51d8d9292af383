"""How a clip is compared with enrolled classes: votes, probabilities, and a distance that tells unknown sounds."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config.experiment import Distance, TieStrategy

Rows: TypeAlias = NDArray[np.float32]
"""Embedded segments or views of them, or scores of these, one each along the last axis but one."""
Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
T = TypeVar("T", np.float32, np.float64)

PRIOR_CLIPS = 5.0
"""Weight of the validation classes' scatter beside a class's own, in clips."""


LEAST_LENGTH = 1e-12
"""Vectors shorter than this are divided by it, and not by their length."""


def clip_means(clips: Sequence[Rows]) -> Rows:
    """A clip's embedding is the mean over its segments and rows. Shape: each (rows, width) -> (clips, width)."""
    return np.stack([rows.mean(axis=0) for rows in clips])


def squared_deviations(clips: Rows) -> float:
    """Sum of the squared distances of clips (clips, width) to their mean, in float64."""
    exact = clips.astype(np.float64)
    return float(np.square(exact - exact.mean(axis=0)).sum())


def expected_distance(clips: Rows, scatter: float | None) -> float:
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


def expected_distances(classes: Sequence[Rows], scatter: float | None) -> Floats:
    """``expected_distance`` of each class (clips, width); one that has none takes the mean of the others, or 1."""
    distances = np.array([expected_distance(clips, scatter) for clips in classes])
    missing = np.isnan(distances)
    return np.where(missing, 1.0 if missing.all() else np.nanmean(distances), distances)


def unknown_scores(embeddings: Rows, prototypes: Rows, expected: Floats) -> Floats:
    """Distance of each clip to its nearest prototype, each in units of its class's expected distance.

    It does not grow or shrink with the number of classes, as the largest probability does.

    Shape:
        embeddings (clips, width), prototypes (way, width), expected (way,) -> (clips,).
    """
    nearest: Floats = np.min(class_distances(embeddings, prototypes, expected), axis=1)
    return nearest


def class_distances(embeddings: Rows, prototypes: Rows, expected: Floats) -> Floats:
    """Distance of each clip to each prototype, in units of its class's expected distance.

    Shape:
        embeddings (clips, width), prototypes (way, width), expected (way,) -> (clips, way).
    """
    distances = np.sqrt(_squared_distances(prototypes.astype(np.float64), embeddings.astype(np.float64)))
    in_units: Floats = distances / expected
    return in_units


def distance_scores(prototypes: Rows, rows: Rows, distance: Distance, scale: float) -> Rows:
    """Scores of rows by their distances or similarities to prototypes, as the network was trained with.

    Equal to ``functional.prototypes.prototypical_scores`` times ``scale``, without torch.

    Shape:
        prototypes (way, width), rows (rows, width) -> (rows, way).
    """
    if distance == "cosine":
        scores: Rows = _unit_length(rows) @ _unit_length(prototypes).T
    else:
        squares = _squared_distances(prototypes, rows)
        scores = -(np.sqrt(squares) if distance == "euclidean" else squares)
    scores *= np.float32(scale)
    return scores


def _squared_distances(prototypes: NDArray[T], rows: NDArray[T]) -> NDArray[T]:
    """Sums of squared differences: the expansion into products would lose the digits of near points."""
    return np.stack([np.square(rows - prototype).sum(axis=1) for prototype in prototypes], axis=1)


def _unit_length(rows: Rows) -> Rows:
    unit: Rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(LEAST_LENGTH))
    return unit


def votes(scores: Rows, counts: Counts, tie_strategy: TieStrategy) -> Counts:
    """The class that each clip's rows vote for.

    Shape:
        scores (rows, way), counts (clips,) of each clip's rows -> (clips,) labels.
    """
    ends = np.cumsum(counts)
    return np.array([_vote(scores[end - count : end], tie_strategy) for count, end in zip(counts, ends, strict=True)])


def _vote(scores: Rows, tie_strategy: TieStrategy) -> int:
    """The vote of one clip's rows (rows, way), as ``functional.vote`` has it for many clips in torch."""
    ballots = scores.argmax(axis=1)
    labels, first, totals = np.unique(ballots, return_index=True, return_counts=True)
    is_tied = totals == totals.max()
    labels, first = labels[is_tied], first[is_tied]  # labels ascend
    if tie_strategy == "min_label":
        return int(labels[0])
    if tie_strategy == "max_posterior":
        posteriors = softmax(scores).max(axis=1)
        best = np.array([posteriors[ballots == label].max() for label in labels])
        labels, first = labels[best == best.max()], first[best == best.max()]
    return int(labels[first.argmin()])


def softmax(scores: NDArray[T]) -> NDArray[T]:
    """Softmax over the last axis."""
    powers: NDArray[T] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def probabilities(scores: Rows, counts: Counts, temperature: float) -> Floats:
    """A clip's probabilities: the mean over its rows of the softmax of scores / temperature, float64.

    Shape:
        scores (rows, way), counts (clips,) of each clip's rows -> (clips, way).
    """
    rows = softmax(scores.astype(np.float64) / temperature)
    sums: Floats = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None]
