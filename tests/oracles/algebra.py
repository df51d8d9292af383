"""Vectors as lists of floats: the few operations that the other oracles share."""

import math
from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def distance(a: Vector, b: Vector) -> float:
    return norm([x - y for x, y in zip(a, b, strict=True)])


def cosine(a: Vector, b: Vector) -> float:
    return dot(a, b) / (norm(a) * norm(b))


def mean(values: Vector) -> float:
    return math.fsum(values) / len(values)


def log_sum_exp(values: Vector) -> float:
    highest = max(values)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in values))


def softmax(values: Vector) -> list[float]:
    total = log_sum_exp(values)
    return [math.exp(value - total) for value in values]


def cross_entropy(logits: Vector, target: int) -> float:
    return log_sum_exp(logits) - logits[target]
