"""Prototypes and prototypical scores, one number at a time."""

from tests.oracles.algebra import Matrix, distance, mean


def prototypes(support: list[list[list[float]]]) -> list[list[float]]:
    """(way, rows, E) -> (way, E): each class's mean support embedding."""
    return [[mean([row[e] for row in rows]) for e in range(len(rows[0]))] for rows in support]


def prototypical_scores(prototypes: Matrix, queries: Matrix, *, squared: bool) -> list[list[float]]:
    """(way, E), (rows, E) -> (rows, way): the negative distance of each query to each prototype."""
    scores = []
    for query in queries:
        distances = [distance(query, prototype) for prototype in prototypes]
        scores.append([-(d**2) if squared else -d for d in distances])
    return scores
