"""Prototypes and prototypical scores against naive loops."""

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.functional.prototypes import (
    prototypes,
    prototypical_scores,
    transform_embeddings,
    within_class_whitening,
)
from tests.numerics import gradients, normal
from tests.oracles import prototypes as oracle

Distance = Literal["euclidean", "squared"]
DISTANCES: tuple[Distance, ...] = ("euclidean", "squared")
dims = st.integers(1, 6)
seeds = st.integers(0, 2**31)


def test_prototypes_by_hand() -> None:
    support = [[[1.0, 2.0], [3.0, 6.0]], [[0.0, -1.0], [0.0, 1.0]]]
    expected = [[2.0, 4.0], [0.0, 0.0]]
    assert oracle.prototypes(support) == expected
    assert prototypes(torch.tensor(support)).tolist() == expected


def test_scores_by_hand() -> None:
    protos, queries = [[0.0, 0.0], [3.0, 0.0]], [[3.0, 4.0]]
    assert oracle.prototypical_scores(protos, queries, squared=False) == [[-5.0, -4.0]]
    assert oracle.prototypical_scores(protos, queries, squared=True) == [[-25.0, -16.0]]
    p, q = torch.tensor(protos), torch.tensor(queries)
    torch.testing.assert_close(prototypical_scores(p, q, "euclidean"), torch.tensor([[-5.0, -4.0]]))
    torch.testing.assert_close(prototypical_scores(p, q, "squared"), torch.tensor([[-25.0, -16.0]]))


@settings(deadline=None, max_examples=15)
@given(way=dims, rows=dims, width=dims, seed=seeds)
def test_prototypes_are_class_means(way: int, rows: int, width: int, seed: int) -> None:
    support = normal(way, rows, width, seed=seed)
    expected = torch.tensor(oracle.prototypes(support.tolist()), dtype=torch.float64)
    torch.testing.assert_close(prototypes(support), expected)


@pytest.mark.parametrize("distance", DISTANCES)
@settings(deadline=None, max_examples=15)
@given(way=dims, rows=dims, width=dims, seed=seeds)
def test_scores_are_negative_distances(distance: Distance, way: int, rows: int, width: int, seed: int) -> None:
    protos, queries = normal(way, width, seed=seed), normal(rows, width, seed=seed + 1)
    expected = oracle.prototypical_scores(protos.tolist(), queries.tolist(), squared=distance == "squared")
    torch.testing.assert_close(
        prototypical_scores(protos, queries, distance), torch.tensor(expected, dtype=torch.float64)
    )


def test_transforms_by_hand() -> None:
    rows, center = torch.tensor([[4.0, -9.0], [1.0, 5.0]]), torch.tensor([1.0, 1.0])
    expected = {
        "none": rows,
        "power": torch.tensor([[2.0, -3.0], [1.0, math.sqrt(5)]]) / torch.tensor([[math.sqrt(13)], [math.sqrt(6)]]),
        "center_l2": torch.tensor([[3.0, -10.0], [0.0, 4.0]]) / torch.tensor([[math.sqrt(109)], [4.0]]),
    }
    for name, value in expected.items():
        torch.testing.assert_close(transform_embeddings(rows, name, center), value)  # type: ignore[arg-type]
    zero = torch.zeros(2, 3)
    assert torch.equal(transform_embeddings(zero, "power"), zero)


def test_whitening_by_hand() -> None:
    rows, center = torch.tensor([[5.0, -9.0], [1.0, 5.0]]), torch.tensor([1.0, 1.0])
    whitening = within_class_whitening(torch.tensor([[4.0, 0.0], [0.0, 25.0]]), shrinkage=0.0)
    torch.testing.assert_close(whitening, torch.tensor([[0.5, 0.0], [0.0, 0.2]]).double())
    expected = torch.tensor([[2.0, -2.0], [0.0, 0.8]]) / torch.tensor([[math.sqrt(8)], [0.8]])
    torch.testing.assert_close(transform_embeddings(rows, "wccn", center, whitening.float()), expected)


@settings(deadline=None, max_examples=15)
@given(width=dims, rows=st.integers(2, 9), shrinkage=st.floats(0.01, 3), seed=seeds)
def test_whitening_undoes_the_shrunk_covariance(width: int, rows: int, shrinkage: float, seed: int) -> None:
    covariance = normal(rows, width, seed=seed).T.cov(correction=0).reshape(width, width)
    whitening = within_class_whitening(covariance, shrinkage)
    shrunk = covariance + shrinkage * covariance.trace() / width * torch.eye(width, dtype=torch.float64)
    torch.testing.assert_close(whitening, whitening.T)
    torch.testing.assert_close(whitening @ shrunk @ whitening, torch.eye(width, dtype=torch.float64))


def test_nothing_is_whitened_if_classes_do_not_vary() -> None:
    assert torch.equal(within_class_whitening(torch.zeros(3, 3)), torch.eye(3, dtype=torch.float64))


def test_cosine_by_hand() -> None:
    p, q = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0]])
    expected = torch.tensor([[0.0, 0.8, 0.0], [1.0, 0.6, 0.0]])
    torch.testing.assert_close(prototypical_scores(p, q, "cosine"), expected)


@settings(deadline=None, max_examples=15)
@given(way=dims, rows=dims, width=dims, seed=seeds)
def test_cosine_of_many_episodes_at_once(way: int, rows: int, width: int, seed: int) -> None:
    protos, queries = normal(2, way, width, seed=seed), normal(2, rows, width, seed=seed + 1)
    scores = prototypical_scores(protos, queries, "cosine")
    for task in range(2):
        for r in range(rows):
            for c in range(way):
                a, b = queries[task, r].tolist(), protos[task, c].tolist()
                dot = sum(x * y for x, y in zip(a, b, strict=True))
                lengths = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
                assert scores[task, r, c].item() == pytest.approx(dot / lengths)


@pytest.mark.parametrize("distance", DISTANCES)
def test_leading_dimensions_are_separate_episodes(distance: Distance) -> None:
    support, queries = normal(2, 3, 4, 5, 6, seed=0), normal(2, 3, 7, 6, seed=1)
    protos = prototypes(support)
    assert protos.shape == (2, 3, 4, 6)
    scores = prototypical_scores(protos, queries, distance)
    assert scores.shape == (2, 3, 7, 4)
    for i in range(2):
        for j in range(3):
            alone = prototypical_scores(prototypes(support[i, j]), queries[i, j], distance)
            torch.testing.assert_close(scores[i, j], alone)


def test_float32_distances_do_not_cancel() -> None:
    """Far from the origin and close to each other: q^2 + p^2 - 2qp would lose the distance in float32.

    More than 25 rows, because torch.cdist takes that short cut from there on.
    """
    protos = normal(5, 64, seed=0) * 1e-2 + 50
    queries = normal(40, 64, seed=1) * 1e-2 + 50
    p, q = protos.float(), queries.float()
    expected = torch.tensor(oracle.prototypical_scores(p.tolist(), q.tolist(), squared=False))
    torch.testing.assert_close(prototypical_scores(p, q, "euclidean"), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("rows", [3, 30])
def test_a_query_on_its_prototype_has_finite_gradients(distance: Distance, rows: int) -> None:
    protos = normal(3, 4, seed=0, dtype=torch.float32)
    queries = normal(rows, 4, seed=1, dtype=torch.float32)
    queries[1] = protos[2]
    protos.requires_grad_()
    queries.requires_grad_()
    scores = prototypical_scores(protos, queries, distance)
    assert abs(scores[1, 2].item()) < 1e-5
    for gradient in gradients(scores.logsumexp(dim=-1).sum(), protos, queries):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients(distance: Distance) -> None:
    support = normal(2, 3, 4, seed=0).requires_grad_()
    queries = normal(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, q: prototypical_scores(prototypes(s), q, distance), (support, queries))


def test_unknown_distances_and_transforms_are_refused() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="distance is 'manhattan', expected 'euclidean', 'squared' or 'cosine'"):
        prototypical_scores(x, x, "manhattan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="embeddings is 'centre_l2', expected 'none', 'center_l2', 'power' or 'wccn'"):
        transform_embeddings(x, "centre_l2")  # type: ignore[arg-type]
