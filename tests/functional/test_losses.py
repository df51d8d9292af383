"""The losses against naive loops, pytorch-metric-learning and hand-computed cases."""

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import AngularLoss
from pytorch_metric_learning.miners import AngularMiner
from torch import Tensor
from torch.nn.functional import normalize

from fewshot_audio.functional.losses import angular_loss, cpl_loss, draw_negatives, prototypical_loss, relation_loss
from fewshot_audio.functional.prototypes import prototypical_scores
from tests.numerics import generator, global_generator_untouched, gradients, normal, query_labels
from tests.oracles import losses as oracle

Reduction = Literal["reference", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("reference", "mean")
seeds = st.integers(0, 2**31)


def close(actual: Tensor, expected: float, tolerance: float = 1e-9) -> bool:
    assert actual.shape == ()
    return actual.item() == pytest.approx(expected, rel=tolerance, abs=tolerance)


# Prototypical and relation loss


def test_prototypical_loss_by_hand() -> None:
    scores, labels = [[0.0, 0.0], [math.log(3), 0.0]], [1, 0]
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert oracle.prototypical_loss(scores, labels) == pytest.approx(expected)
    assert close(prototypical_loss(torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)), expected)


def test_relation_loss_by_hand() -> None:
    scores, labels = [[1.0, 0.0], [0.5, 0.25]], [0, 1]
    expected = (0 + 0 + 0.25 + 0.5625) / 4
    assert oracle.relation_loss(scores, labels) == expected
    assert close(relation_loss(torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)), expected)


@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 8), way=st.integers(1, 6), seed=seeds)
def test_losses_of_scores(rows: int, way: int, seed: int) -> None:
    scores = 5 * normal(rows, way, seed=seed)
    labels = torch.randint(0, way, (rows,), generator=generator(seed))
    assert close(prototypical_loss(scores, labels), oracle.prototypical_loss(scores.tolist(), labels.tolist()))
    scores = scores.sigmoid()
    assert close(relation_loss(scores, labels), oracle.relation_loss(scores.tolist(), labels.tolist()))


def test_prototypical_loss_of_far_prototypes_is_finite() -> None:
    scores = torch.tensor([[-5000.0, 0.0]], requires_grad=True)
    loss = prototypical_loss(scores, torch.tensor([0]))
    assert loss.item() == 5000
    assert gradients(loss, scores)[0].tolist() == [[-1.0, 1.0]]


def test_gradients_of_the_losses_of_scores() -> None:
    protos, queries = normal(3, 4, seed=0).requires_grad_(), normal(6, 4, seed=1).requires_grad_()
    labels = query_labels(3, 2, seed=0)
    for distance in ("euclidean", "squared"):
        assert torch.autograd.gradcheck(
            lambda p, q, d=distance: prototypical_loss(prototypical_scores(p, q, d), labels), (protos, queries)
        )
    scores = normal(6, 3, seed=2).sigmoid().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: relation_loss(s, labels), (scores,))


# Negatives of CPL


@settings(deadline=None, max_examples=30)
@given(way=st.integers(2, 6), per_class=st.integers(1, 6), seed=seeds, data=st.data())
def test_negatives_are_distinct_rows_of_every_other_class(
    way: int, per_class: int, seed: int, data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, per_class))
    labels = query_labels(way, per_class, seed)
    with global_generator_untouched():
        negatives = draw_negatives(labels, way, m, generator(seed))
    assert negatives.shape == (way * per_class, (way - 1) * m)
    assert negatives.dtype == torch.int64
    for label, row in zip(labels.tolist(), negatives.tolist(), strict=True):
        assert len(set(row)) == len(row)
        classes = [int(labels[j]) for j in row]
        assert sorted(classes) == sorted(c for c in range(way) if c != label for _ in range(m))


def test_the_generator_decides_the_negatives() -> None:
    labels = query_labels(5, 5, seed=0)
    one, same, other = (draw_negatives(labels, 5, 3, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_negatives_are_uniform() -> None:
    """Over many draws every row of another class, and every pair of rows, is drawn equally often."""
    way, per_class, m, draws = 3, 4, 2, 1500
    labels = query_labels(way, per_class, seed=1)
    rows = len(labels)
    rng = generator(7)
    together = torch.zeros(rows, rows, rows, dtype=torch.float64)  # query, negative, negative
    for _ in range(draws):
        negatives = torch.zeros(rows, rows, dtype=torch.float64)
        negatives.scatter_(1, draw_negatives(labels, way, m, rng), 1)
        together += negatives[:, :, None] * negatives[:, None, :]
    for i in range(rows):
        for j in range(rows):
            for k in range(j + 1):
                if labels[i] in (labels[j], labels[k]):
                    chance = 0.0
                elif j == k:
                    chance = m / per_class
                elif labels[j] == labels[k]:
                    chance = m * (m - 1) / (per_class * (per_class - 1))
                else:
                    chance = (m / per_class) ** 2
                deviation = math.sqrt(draws * chance * (1 - chance))
                assert abs(together[i, j, k].item() - draws * chance) <= 5 * deviation


def test_queries_of_a_class_draw_apart() -> None:
    labels = torch.arange(3).repeat_interleave(6)
    rng = generator(0)
    sets = [frozenset(row) for _ in range(5) for row in draw_negatives(labels, 3, 2, rng)[:6].tolist()]
    assert len(set(sets)) > 20  # 30 draws out of 225 sets


# CPL


def test_cpl_by_hand() -> None:
    protos, queries, labels, negatives = [[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 2.0]], [0, 1], [[1], [0]]
    expected = math.log(1 + math.exp(-2))  # cosine 1 to the positive and 0 to the negative, temperature 1/2
    p, q = torch.tensor(protos).double(), torch.tensor(queries).double()
    tensors = (p, q, torch.tensor(labels), torch.tensor(negatives))
    assert oracle.cpl_loss(protos, queries, labels, negatives, 0.5, divide_once_more=False) == pytest.approx(expected)
    assert close(cpl_loss(*tensors, 0.5, "mean"), expected)
    assert oracle.cpl_loss(protos, queries, labels, negatives, 0.5, divide_once_more=True) == pytest.approx(
        expected / 2
    )
    assert close(cpl_loss(*tensors, 0.5, "reference"), expected / 2)


@settings(deadline=None, max_examples=15)
@given(way=st.integers(2, 5), per_class=st.integers(1, 4), width=st.integers(1, 6), t=st.floats(0.02, 20), seed=seeds)
def test_cpl(way: int, per_class: int, width: int, t: float, seed: int) -> None:
    protos, queries = normal(way, width, seed=seed), normal(way * per_class, width, seed=seed + 1)
    labels = query_labels(way, per_class, seed)
    negatives = draw_negatives(labels, way, 1 + seed % per_class, generator(seed))
    lists = (protos.tolist(), queries.tolist(), labels.tolist(), negatives.tolist())
    for reduction in REDUCTIONS:
        expected = oracle.cpl_loss(*lists, t, divide_once_more=reduction == "reference")
        assert close(cpl_loss(protos, queries, labels, negatives, t, reduction), expected)


def test_cpl_at_25_queries_is_a_25th_of_the_mean() -> None:
    protos, queries, labels = normal(5, 8, seed=0), normal(25, 8, seed=1), query_labels(5, 5, seed=2)
    negatives = draw_negatives(labels, 5, 3, generator(3))
    mean = cpl_loss(protos, queries, labels, negatives, 6.0488, "mean")
    assert close(25 * cpl_loss(protos, queries, labels, negatives, 6.0488, "reference"), mean.item())


def test_cpl_knows_directions_only() -> None:
    """Cosine: normalizing the prototypes (or stretching anything) changes nothing."""
    protos, queries, labels = normal(4, 8, seed=0), normal(12, 8, seed=1), query_labels(4, 3, seed=2)
    negatives = draw_negatives(labels, 4, 2, generator(3))
    loss = cpl_loss(protos, queries, labels, negatives, 2.0, "mean").item()
    lengths = 0.1 + 9 * torch.rand(12, 1, generator=generator(4), dtype=torch.float64)
    assert close(cpl_loss(normalize(protos, dim=1), queries * lengths, labels, negatives, 2.0, "mean"), loss)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cpl_gradients(reduction: Reduction) -> None:
    protos, queries = normal(3, 4, seed=0).requires_grad_(), normal(6, 4, seed=1).requires_grad_()
    labels = query_labels(3, 2, seed=2)
    negatives = draw_negatives(labels, 3, 2, generator(3))
    assert torch.autograd.gradcheck(lambda p, q: cpl_loss(p, q, labels, negatives, 0.7, reduction), (protos, queries))


def test_cpl_of_coinciding_and_zero_points_is_finite() -> None:
    protos, queries = normal(2, 4, seed=0, dtype=torch.float32), normal(4, 4, seed=1, dtype=torch.float32)
    queries[0], queries[1] = protos[0], 0.0
    protos.requires_grad_()
    queries.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    loss = cpl_loss(protos, queries, labels, torch.tensor([[2], [3], [0], [1]]), 0.01, "mean")
    for gradient in gradients(loss, protos, queries):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


# Angular loss

# Two classes, one query each. The triplet of anchor 0 has tan(angle) = 1/sqrt(17) (13.6 degrees), the triplet of
# anchor 1 sqrt(5/13) (31.8 degrees). At alpha = 45 degrees the exponent is 4 (a+p).n - 4 a.p: -8.8 and 0.8.
HAND_PROTOTYPES, HAND_QUERIES = [[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [-1.0, 0.0]]
HAND_CASES = [
    (0.0, (math.log1p(math.exp(-8.8)) + math.log1p(math.exp(0.8))) / 2, 2),
    (13.6, (math.log1p(math.exp(-8.8)) + math.log1p(math.exp(0.8))) / 2, 2),
    (13.7, math.log1p(math.exp(0.8)), 1),
    (31.8, math.log1p(math.exp(0.8)), 1),
    (31.9, 0.0, 0),
]


@pytest.mark.parametrize(("angle", "expected", "mined"), HAND_CASES)
def test_angular_by_hand(angle: float, expected: float, mined: int) -> None:
    naive = oracle.angular_loss(HAND_PROTOTYPES, HAND_QUERIES, [0, 1], angle, 45, prototypes_as_anchors=True)
    assert naive.loss == pytest.approx(expected)
    assert (naive.pairs, naive.triplets) == (mined, mined)
    protos, queries = (torch.tensor(x, dtype=torch.float64) for x in (HAND_PROTOTYPES, HAND_QUERIES))
    result = angular_loss(protos, queries, torch.tensor([0, 1]), angle, 45.0, prototypes_as_anchors=True)
    assert close(result.loss, expected)
    assert (result.pairs.item(), result.triplets.item()) == (mined, mined)


@pytest.mark.parametrize("as_anchors", [True, False])
@settings(deadline=None, max_examples=20)
@given(
    way=st.integers(1, 4),
    per_class=st.integers(1, 3),
    width=st.integers(2, 6),
    angle=st.floats(0, 89),
    alpha=st.floats(5, 80),
    on_sphere=st.booleans(),
    seed=seeds,
)
def test_angular(
    as_anchors: bool, way: int, per_class: int, width: int, angle: float, alpha: float, on_sphere: bool, seed: int
) -> None:
    protos, queries = normal(way, width, seed=seed), normal(way * per_class, width, seed=seed + 1)
    if on_sphere:
        protos, queries = normalize(protos, dim=1), normalize(queries, dim=1)
    labels = query_labels(way, per_class, seed)
    lists = (protos.tolist(), queries.tolist(), labels.tolist())
    expected = oracle.angular_loss(*lists, angle, alpha, prototypes_as_anchors=as_anchors)
    result = angular_loss(protos, queries, labels, angle, alpha, prototypes_as_anchors=as_anchors)
    assert close(result.loss, expected.loss)
    assert result.pairs.item() == expected.pairs
    assert result.triplets.item() == expected.triplets
    assert not result.pairs.is_floating_point()
    assert not result.triplets.is_floating_point()


@pytest.mark.parametrize("as_anchors", [True, False])
@pytest.mark.parametrize("angle", [15.0, 30.0])
def test_angular_keeps_some_triplets_and_drops_others(as_anchors: bool, angle: float) -> None:
    """The published angles on a published episode size, in float32."""
    protos = normalize(normal(5, 16, seed=0, dtype=torch.float32) + 1, dim=1)
    labels = query_labels(5, 5, seed=1)
    queries = normalize(protos[labels] + 0.25 * normal(25, 16, seed=2, dtype=torch.float32), dim=1)
    lists = (protos.tolist(), queries.tolist(), labels.tolist())
    expected = oracle.angular_loss(*lists, angle, 40, prototypes_as_anchors=as_anchors)
    everything = oracle.angular_loss(*lists, 0, 40, prototypes_as_anchors=as_anchors)
    assert 0 < expected.triplets < everything.triplets
    result = angular_loss(protos, queries, labels, angle, 40.0, prototypes_as_anchors=as_anchors)
    assert close(result.loss, expected.loss, 1e-5)
    assert (result.pairs.item(), result.triplets.item()) == (expected.pairs, expected.triplets)


@pytest.mark.parametrize("as_anchors", [True, False])
def test_angular_equals_pytorch_metric_learning_where_nothing_is_filtered(as_anchors: bool) -> None:
    """Angle 0 keeps every triplet: there, that library's pairing with all negatives is ours."""
    protos = normalize(normal(4, 8, seed=0), dim=1).requires_grad_()
    queries = normalize(normal(12, 8, seed=1), dim=1).requires_grad_()
    labels = query_labels(4, 3, seed=2)
    ours = angular_loss(protos, queries, labels, 0.0, 40.0, prototypes_as_anchors=as_anchors)
    if as_anchors:
        embeddings = (protos, torch.arange(4))
        others = {"ref_emb": queries, "ref_labels": labels}
    else:
        embeddings = (torch.cat([protos, queries]), torch.cat([torch.arange(4), labels]))
        others = {}
    triplets = AngularMiner(angle=0)(*embeddings, **others)
    theirs = AngularLoss(alpha=40)(*embeddings, indices_tuple=triplets, **others)
    assert close(ours.loss, theirs.item())
    assert ours.triplets.item() == len(triplets[0])
    assert ours.pairs.item() == len(set(zip(triplets[0].tolist(), triplets[1].tolist(), strict=True)))


@pytest.mark.parametrize("as_anchors", [True, False])
@pytest.mark.parametrize("angle", [5.0, 15.0, 30.0, 45.0])
def test_angular_mines_what_pytorch_metric_learning_mines(as_anchors: bool, angle: float) -> None:
    protos, queries = normalize(normal(4, 8, seed=3), dim=1), normalize(normal(12, 8, seed=4), dim=1)
    labels = query_labels(4, 3, seed=5)
    if as_anchors:
        mined = AngularMiner(angle=angle)(protos, torch.arange(4), queries, labels)
    else:
        mined = AngularMiner(angle=angle)(torch.cat([protos, queries]), torch.cat([torch.arange(4), labels]))
    ours = angular_loss(protos, queries, labels, angle, 40.0, prototypes_as_anchors=as_anchors)
    assert ours.triplets.item() == len(mined[0])
    assert ours.pairs.item() == len(set(zip(mined[0].tolist(), mined[1].tolist(), strict=True)))


@pytest.mark.parametrize("as_anchors", [True, False])
def test_angular_takes_embeddings_as_they_are(as_anchors: bool) -> None:
    """Normalizing the prototypes changes the loss: the caller decides, not the loss."""
    protos, queries, labels = 3 * normal(3, 4, seed=0), normalize(normal(6, 4, seed=1), dim=1), query_labels(3, 2, 2)
    raw = angular_loss(protos, queries, labels, 0.0, 40.0, prototypes_as_anchors=as_anchors)
    unit = angular_loss(normalize(protos, dim=1), queries, labels, 0.0, 40.0, prototypes_as_anchors=as_anchors)
    assert abs(raw.loss.item() - unit.loss.item()) > 0.1


@pytest.mark.parametrize("as_anchors", [True, False])
def test_angular_without_a_triplet_is_zero_with_zero_gradient(as_anchors: bool) -> None:
    protos, queries = normal(3, 4, seed=0).requires_grad_(), normal(6, 4, seed=1).requires_grad_()
    result = angular_loss(protos, queries, query_labels(3, 2, 2), 89.9, 40.0, prototypes_as_anchors=as_anchors)
    assert result.loss.item() == 0
    assert (result.pairs.item(), result.triplets.item()) == (0, 0)
    for gradient in gradients(result.loss, protos, queries):
        assert (gradient == 0).all()


@pytest.mark.parametrize("as_anchors", [True, False])
def test_angular_of_coinciding_points_is_finite(as_anchors: bool) -> None:
    """A query on its prototype makes no angle; a negative right between anchor and positive makes 90 degrees."""
    protos = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    queries = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 1, 0, 1])
    result = angular_loss(protos, queries, labels, 0.0, 40.0, prototypes_as_anchors=as_anchors)
    expected = oracle.angular_loss(
        protos.tolist(), queries.tolist(), labels.tolist(), 0.0, 40, prototypes_as_anchors=as_anchors
    )
    assert close(result.loss, expected.loss, 1e-5)
    assert (result.pairs.item(), result.triplets.item()) == (expected.pairs, expected.triplets)
    for gradient in gradients(result.loss, protos, queries):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("as_anchors", [True, False])
def test_angular_does_not_overflow(as_anchors: bool) -> None:
    """Steep alphas give exponents in the hundreds."""
    protos = normalize(normal(3, 4, seed=0), dim=1)
    queries = normalize(normal(6, 4, seed=1), dim=1)
    labels = query_labels(3, 2, 2)
    lists = (protos.tolist(), queries.tolist(), labels.tolist())
    expected = oracle.angular_loss(*lists, 0.0, 87, prototypes_as_anchors=as_anchors)
    assert expected.loss > 200
    p, q = protos.float().requires_grad_(), queries.float().requires_grad_()
    result = angular_loss(p, q, labels, 0.0, 87.0, prototypes_as_anchors=as_anchors)
    assert close(result.loss, expected.loss, 1e-4)
    for gradient in gradients(result.loss, p, q):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("as_anchors", [True, False])
@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_angular_gradients(as_anchors: bool, angle: float) -> None:
    protos, queries = normal(3, 4, seed=0).requires_grad_(), normal(6, 4, seed=1).requires_grad_()
    labels = query_labels(3, 2, seed=2)

    def loss(p: Tensor, q: Tensor) -> Tensor:
        result = angular_loss(p, q, labels, angle, 40.0, prototypes_as_anchors=as_anchors)
        assert result.triplets.item() > 0
        return result.loss

    assert torch.autograd.gradcheck(loss, (protos, queries))
