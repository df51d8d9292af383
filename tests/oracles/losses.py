"""The losses as their formulas read: loops over queries, classes and triplets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracles.algebra import Matrix, Vector, cosine, cross_entropy, distance, dot, log_sum_exp, mean


def prototypical_loss(scores: Matrix, labels: Sequence[int]) -> float:
    return mean([cross_entropy(row, label) for row, label in zip(scores, labels, strict=True)])


def relation_loss(scores: Matrix, labels: Sequence[int]) -> float:
    errors = []
    for row, label in zip(scores, labels, strict=True):
        for c, score in enumerate(row):
            errors.append((score - (1.0 if c == label else 0.0)) ** 2)
    return mean(errors)


def cpl_loss(
    prototypes: Matrix,
    queries: Matrix,
    labels: Sequence[int],
    negatives: Sequence[Sequence[int]],
    temperature: float,
    *,
    divide_once_more: bool,
) -> float:
    losses = []
    for i, label in enumerate(labels):
        anchor = prototypes[label]
        logits = [cosine(anchor, queries[i]) / temperature]
        logits += [cosine(anchor, queries[j]) / temperature for j in negatives[i]]
        losses.append(cross_entropy(logits, 0))
    return mean(losses) / len(losses) if divide_once_more else mean(losses)


@dataclass(frozen=True)
class Angular:
    loss: float
    pairs: int
    triplets: int


def angular_loss(
    prototypes: Matrix,
    queries: Matrix,
    labels: Sequence[int],
    angle_degrees: float,
    alpha_degrees: float,
    *,
    prototypes_as_anchors: bool,
) -> Angular:
    members = [*prototypes, *queries]
    member_labels = [*range(len(prototypes)), *labels]
    everyone = range(len(members))
    anchors = range(len(prototypes)) if prototypes_as_anchors else everyone
    others = range(len(prototypes), len(members)) if prototypes_as_anchors else everyone

    losses: list[float] = []
    triplets = 0
    for a in anchors:
        for p in others:
            if a == p or member_labels[a] != member_labels[p]:
                continue
            mined = [
                n
                for n in others
                if member_labels[n] != member_labels[a]
                and _angle_degrees(members[a], members[p], members[n]) > angle_degrees
            ]
            if mined:
                losses.append(_pair_loss(members[a], members[p], [members[n] for n in mined], alpha_degrees))
                triplets += len(mined)
    return Angular(mean(losses) if losses else 0.0, len(losses), triplets)


def _angle_degrees(a: Vector, p: Vector, n: Vector) -> float:
    center = [(x + y) / 2 for x, y in zip(a, p, strict=True)]
    # atan2 is atan of the quotient, and also knows the limit for a negative in the very center (90 degrees).
    return math.degrees(math.atan2(distance(a, p), 2 * distance(n, center)))


def _pair_loss(a: Vector, p: Vector, negatives: Matrix, alpha_degrees: float) -> float:
    tan2 = math.tan(math.radians(alpha_degrees)) ** 2
    both = [x + y for x, y in zip(a, p, strict=True)]
    exponents = [4 * tan2 * dot(both, n) - 2 * (1 + tan2) * dot(a, p) for n in negatives]
    return log_sum_exp([0.0, *exponents])
