"""A labeled batch as an episode, one row at a time."""

from collections.abc import Sequence

from tests.oracles.algebra import Matrix
from tests.oracles.prototypes import prototypes


def split(embeddings: Matrix, labels: Sequence[int], n_shot: int) -> tuple[list[list[float]], Matrix, list[int]]:
    """Prototypes of the first ``n_shot`` rows of each label, the other rows, and the numbers of their classes."""
    support, queries, numbers = [], [], []
    for number, label in enumerate(sorted(set(labels))):
        rows = [list(row) for row, own in zip(embeddings, labels, strict=True) if own == label]
        support.append(rows[:n_shot])
        queries += rows[n_shot:]
        numbers += [number] * (len(rows) - n_shot)
    return prototypes(support), queries, numbers
