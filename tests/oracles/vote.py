"""A clip's label out of the votes of its segments and views."""

from collections.abc import Sequence

from tests.oracles.algebra import Matrix, softmax


def vote(scores: Matrix, valid: Sequence[bool], tie_strategy: str) -> int:
    ballots: list[tuple[int, float]] = []  # (label, posterior of that label), in row order
    for row, counts in zip(scores, valid, strict=True):
        if counts:
            label = list(row).index(max(row))
            ballots.append((label, softmax(row)[label]))

    votes: dict[int, int] = {}  # keeps the order in which labels first occur
    for label, _ in ballots:
        votes[label] = votes.get(label, 0) + 1
    tied = [label for label, count in votes.items() if count == max(votes.values())]

    if tie_strategy == "min_label":
        return min(tied)
    if tie_strategy == "max_posterior":
        best = {label: max(posterior for voted, posterior in ballots if voted == label) for label in tied}
        return next(label for label in tied if best[label] == max(best.values()))
    assert tie_strategy == ""
    return tied[0]
