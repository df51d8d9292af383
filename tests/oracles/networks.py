"""Heads and the transformer encoder layer with given weights, one unit at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracles.algebra import Matrix, Vector, dot, mean, norm, softmax


@dataclass(frozen=True)
class Linear:
    weight: Matrix
    bias: Vector

    def __call__(self, x: Vector) -> list[float]:
        return [dot(row, x) + b for row, b in zip(self.weight, self.bias, strict=True)]


@dataclass(frozen=True)
class LayerNorm:
    weight: Vector
    bias: Vector
    eps: float = 1e-5

    def __call__(self, x: Vector) -> list[float]:
        center = mean(x)
        deviation = math.sqrt(mean([(value - center) ** 2 for value in x]) + self.eps)
        return [w * (value - center) / deviation + b for value, w, b in zip(x, self.weight, self.bias, strict=True)]


def relu(x: Vector) -> list[float]:
    return [max(value, 0.0) for value in x]


def relation_head(layers: Sequence[Linear], prototypes: Matrix, queries: Matrix) -> list[list[float]]:
    """(way, E), (rows, E) -> (rows, way): sigmoid(MLP(concat(prototype, query)))."""
    scores = []
    for query in queries:
        row = []
        for prototype in prototypes:
            x = [*prototype, *query]
            for layer in layers[:-1]:
                x = relu(layer(x))
            (logit,) = layers[-1](x)
            row.append(1 / (1 + math.exp(-logit)))
        scores.append(row)
    return scores


def projection_head(first: Linear, second: Linear, x: Vector) -> list[float]:
    y = second(relu(first(x)))
    return [value / norm(y) for value in y]


@dataclass(frozen=True)
class TransformerLayer:
    """Vaswani et al. 2017: attention, add, norm; ReLU feed-forward, add, norm."""

    heads: int
    query: Linear
    key: Linear
    value: Linear
    out: Linear
    norm1: LayerNorm
    ffn1: Linear
    ffn2: Linear
    norm2: LayerNorm

    def __call__(self, tokens: Matrix) -> list[list[float]]:
        attended = self._attention(tokens)
        x = [self.norm1(_add(token, update)) for token, update in zip(tokens, attended, strict=True)]
        return [self.norm2(_add(token, self.ffn2(relu(self.ffn1(token))))) for token in x]

    def _attention(self, tokens: Matrix) -> list[list[float]]:
        queries, keys, values = ([part(t) for t in tokens] for part in (self.query, self.key, self.value))
        width = len(queries[0]) // self.heads
        outputs = []
        for query in queries:
            joined: list[float] = []
            for h in range(self.heads):
                part = slice(h * width, (h + 1) * width)
                weights = softmax([dot(query[part], key[part]) / math.sqrt(width) for key in keys])
                head_values = [value[part] for value in values]
                joined += [math.fsum(w * v[e] for w, v in zip(weights, head_values, strict=True)) for e in range(width)]
            outputs.append(self.out(joined))
        return outputs


def _add(a: Vector, b: Vector) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]
