"""Scores and votes in numpy, against those that training and testing have in torch."""

import numpy as np
import pytest
import torch

from fewshot_audio.config.experiment import Distance, TieStrategy
from fewshot_audio.functional.prototypes import prototypical_scores
from fewshot_audio.functional.vote import vote
from fewshot_audio.recognition.scoring import distance_scores, votes


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_scores_are_those_of_training(distance: Distance, scale: float) -> None:
    random = np.random.default_rng(0)
    rows, prototypes = (random.normal(size=(n, 6)).astype(np.float32) for n in (7, 3))
    rows[0] = 0  # without a direction
    rows[1] = prototypes[2]
    scores = distance_scores(prototypes, rows, distance, scale)
    expected = scale * prototypical_scores(torch.from_numpy(prototypes), torch.from_numpy(rows), distance)
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert scores.dtype == np.float32


def test_near_points_keep_their_digits() -> None:
    prototype = np.full((1, 64), 1000, np.float32)
    near = prototype + np.float32(0.0625)
    assert distance_scores(prototype, near, "euclidean", 1.0)[0, 0] == pytest.approx(-0.5)


@pytest.mark.parametrize("tie_strategy", ["", "min_label", "max_posterior"])
def test_votes_are_those_of_testing(tie_strategy: TieStrategy) -> None:
    random = np.random.default_rng(1)
    counts = random.integers(1, 6, 300)
    shape = (int(counts.sum()), 4)
    # Scores tie, too, but where the last bit of a posterior would decide.
    scores = random.normal(size=shape) if tie_strategy == "max_posterior" else random.integers(0, 4, shape)
    scores = scores.astype(np.float32)
    step = np.arange(counts.max())
    padded = (np.cumsum(counts) - counts)[:, None] + np.minimum(step, counts[:, None] - 1)
    valid = torch.from_numpy(step < counts[:, None])
    expected = vote(torch.from_numpy(scores[padded]), valid, tie_strategy)
    np.testing.assert_array_equal(votes(scores, counts, tie_strategy), expected.numpy())
