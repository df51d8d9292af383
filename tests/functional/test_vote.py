"""Majority votes and their ties against naive loops."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.functional.vote import vote
from tests.numerics import generator, normal
from tests.oracles import vote as oracle

Tie = Literal["", "min_label", "max_posterior"]
TIES: tuple[Tie, ...] = ("", "min_label", "max_posterior")


def check(scores: list[list[float]], valid: list[bool], ties: Tie, expected: int) -> None:
    assert oracle.vote(scores, valid, ties) == expected
    assert vote(torch.tensor(scores, dtype=torch.float64), torch.tensor(valid), ties).item() == expected


# Labels in row order 2, 1, 1, 2, 0; label 1 holds the surest single vote among the tied, label 0 the surest of all.
FIVE_ROWS = [[0.0, 0.0, 1.0], [0.0, 3.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 2.0], [9.0, 0.0, 0.0]]


@pytest.mark.parametrize("ties", TIES)
def test_the_majority_wins_whatever_the_tie_strategy(ties: Tie) -> None:
    check([[0.0, 9.0, 1.0], [0.0, 1.0, 1.5], [0.0, 1.0, 1.5]], [True] * 3, ties, 2)


@pytest.mark.parametrize(("ties", "expected"), [("", 2), ("min_label", 1), ("max_posterior", 1)])
def test_ties_by_hand(ties: Tie, expected: int) -> None:
    check(FIVE_ROWS, [True] * 5, ties, expected)


@pytest.mark.parametrize(("ties", "expected"), [("", 2), ("min_label", 0), ("max_posterior", 0)])
def test_invalid_rows_have_no_vote(ties: Tie, expected: int) -> None:
    check(FIVE_ROWS, [True, False, True, False, True], ties, expected)


@pytest.mark.parametrize("ties", TIES)
def test_invalid_rows_may_hold_anything(ties: Tie) -> None:
    scores = torch.tensor([[float("nan"), float("nan")], [0.0, 1.0], [float("inf"), 0.0]])
    assert vote(scores, torch.tensor([False, True, False]), ties).item() == 1


def test_the_surest_vote_is_measured_by_posterior_not_by_score() -> None:
    # The first row has the higher score, the second row the higher softmax.
    check([[10.0, 9.9], [0.0, 2.0]], [True, True], "max_posterior", 1)


def test_only_votes_lend_their_posterior() -> None:
    # 1 and 2 are tied, 2 a little surer. The row that votes for 0 is surer still of 1, but that is not a vote for 1.
    check([[5.0, 4.9, 0.0], *[[0.0, 0.2, 0.0]] * 2, *[[0.0, 0.0, 0.4]] * 2], [True] * 5, "max_posterior", 2)


def test_a_label_with_fewer_votes_stays_out_however_sure() -> None:
    # All posteriors are exactly 1 in float64; 0 occurs first but has one vote, 1 and 2 have two each.
    certain = [[900.0, 0.0, 0.0], [0.0, 0.0, 900.0], [0.0, 900.0, 0.0], [0.0, 900.0, 0.0], [0.0, 0.0, 900.0]]
    check(certain, [True] * 5, "max_posterior", 2)


def test_equal_posteriors_go_to_the_label_that_occurs_first() -> None:
    check([[0.0, 1.0], [1.0, 0.0]], [True, True], "max_posterior", 1)


@pytest.mark.parametrize("ties", TIES)
def test_equal_scores_of_a_row_vote_for_the_lowest_label(ties: Tie) -> None:
    check([[0.0, 1.0, 1.0]], [True], ties, 1)


def test_certain_scores_stay_finite() -> None:
    check([[-2000.0, -1000.0], [0.0, -0.5]], [True, True], "max_posterior", 1)


@pytest.mark.parametrize("ties", TIES)
@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 9), way=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_any_clip(ties: Tie, rows: int, way: int, seed: int) -> None:
    scores = normal(rows, way, seed=seed)
    valid = torch.rand(rows, generator=generator(seed + 1)) < 0.7
    valid[seed % rows] = True
    expected = oracle.vote(scores.tolist(), valid.tolist(), ties)
    assert vote(scores, valid, ties).item() == expected


@pytest.mark.parametrize("ties", ["", "min_label"])
@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 9), way=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_any_clip_with_equal_scores(ties: Tie, rows: int, way: int, seed: int) -> None:
    scores = torch.randint(0, 2, (rows, way), generator=generator(seed)).double()
    valid = [True] * rows
    assert vote(scores, torch.tensor(valid), ties).item() == oracle.vote(scores.tolist(), valid, ties)


@pytest.mark.parametrize("ties", TIES)
def test_leading_dimensions_are_separate_clips(ties: Tie) -> None:
    scores = normal(4, 10, 6, 3, seed=0)
    valid = torch.rand(4, 10, 6, generator=generator(1)) < 0.6
    valid[..., 2] = True
    labels = vote(scores, valid, ties)
    assert labels.shape == (4, 10)
    assert labels.dtype == torch.int64
    for i in range(4):
        for j in range(10):
            expected = oracle.vote(scores[i, j].tolist(), valid[i, j].tolist(), ties)
            assert labels[i, j].item() == expected
