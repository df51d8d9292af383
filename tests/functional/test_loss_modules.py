"""The losses on (embeddings, labels) against loops over rows, over dtypes, with their gradients and their guards."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.config.losses import AngularConfig
from fewshot_audio.functional.loss_modules import AngularLoss, CPLLoss, EpisodeLoss, PrototypicalLoss, RelationLoss
from fewshot_audio.functional.losses import draw_negatives
from fewshot_audio.models.heads import RelationHead
from tests.numerics import generator, normal, seeded_layers
from tests.oracles import episode as oracle_episode
from tests.oracles import losses as oracle
from tests.oracles.algebra import Matrix, cosine
from tests.oracles.prototypes import prototypical_scores

BALANCED = torch.tensor([8, -3, 8, 5, -3, 5, 8, 5, -3, 5, 8, -3])  # 3 classes of 4 rows, mixed
UNBALANCED = torch.tensor([8, -3, 8, 5, -3, 5, 8, 5, 5, 5, 8, -3])
WIDTH, SHOT = 4, 2

Naive = Callable[[Matrix, Matrix, list[int]], float]


class Similarity(nn.Module):
    """A relation head without parameters: cosines brought to [0, 1]."""

    def forward(self, prototypes: Tensor, queries: Tensor) -> Tensor:
        return (1 + nn.functional.normalize(queries, dim=-1) @ nn.functional.normalize(prototypes, dim=-1).T) / 2


def naive_prototypical(squared: bool) -> Naive:
    def loss(prototypes: Matrix, queries: Matrix, labels: list[int]) -> float:
        return oracle.prototypical_loss(prototypical_scores(prototypes, queries, squared=squared), labels)

    return loss


def naive_cosine(prototypes: Matrix, queries: Matrix, labels: list[int]) -> float:
    scores = [[10 * cosine(query, prototype) for prototype in prototypes] for query in queries]
    return oracle.prototypical_loss(scores, labels)


def naive_cpl(divide_once_more: bool) -> Naive:
    """All queries of the other classes are negatives, so that nothing is drawn."""

    def loss(prototypes: Matrix, queries: Matrix, labels: list[int]) -> float:
        negatives = [[j for j, other in enumerate(labels) if other != own] for own in labels]
        return oracle.cpl_loss(prototypes, queries, labels, negatives, 0.5, divide_once_more=divide_once_more)

    return loss


def naive_angular(as_anchors: bool) -> Naive:
    def loss(prototypes: Matrix, queries: Matrix, labels: list[int]) -> float:
        return oracle.angular_loss(prototypes, queries, labels, 10.0, 30.0, prototypes_as_anchors=as_anchors).loss

    return loss


def naive_relation(prototypes: Matrix, queries: Matrix, labels: list[int]) -> float:
    return oracle.relation_loss([[(1 + cosine(query, p)) / 2 for p in prototypes] for query in queries], labels)


LOSSES: dict[str, tuple[EpisodeLoss, Naive]] = {
    "euclidean": (PrototypicalLoss(SHOT), naive_prototypical(squared=False)),
    "squared": (PrototypicalLoss(SHOT, distance="squared"), naive_prototypical(squared=True)),
    "cosine": (PrototypicalLoss(SHOT, distance="cosine", score_scale=10), naive_cosine),
    "cpl": (CPLLoss(SHOT, 2, 0.5), naive_cpl(divide_once_more=False)),
    "cpl-reference": (CPLLoss(SHOT, 2, 0.5, reduction="reference"), naive_cpl(divide_once_more=True)),
    "angular": (AngularLoss(SHOT, angle=10.0, alpha=30.0), naive_angular(as_anchors=True)),
    "angular-all": (
        AngularLoss(SHOT, angle=10.0, alpha=30.0, prototypes_as_anchors=False),
        naive_angular(as_anchors=False),
    ),
    "relation": (RelationLoss(SHOT, Similarity()), naive_relation),
}
CASES = [
    (name, labels) for name in LOSSES for labels in (BALANCED, UNBALANCED) if labels is BALANCED or "cpl" not in name
]


@pytest.mark.parametrize(("name", "labels"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_loops_compute_it(name: str, labels: Tensor, seed: int) -> None:
    loss, naive = LOSSES[name]
    embeddings = normal(len(labels), WIDTH, seed=seed)
    expected = naive(*oracle_episode.split(embeddings.tolist(), labels.tolist(), SHOT))
    assert expected > 0
    value = loss(embeddings, labels)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    """Rows of few bits are computed with in float32, inside autocast too: their loss is that of the rounded rows."""
    loss, naive = LOSSES[name]
    embeddings = normal(len(BALANCED), WIDTH, seed=4).to(dtype).requires_grad_()
    expected = naive(*oracle_episode.split(embeddings.tolist(), BALANCED.tolist(), SHOT))
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(embeddings, BALANCED)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-4)
    value.backward()
    assert embeddings.grad is not None
    assert embeddings.grad.dtype == dtype
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    loss, _ = LOSSES[name]
    embeddings = normal(len(BALANCED), WIDTH, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, BALANCED), (embeddings,))


@pytest.mark.parametrize("name", LOSSES)
def test_training_on_it_brings_a_class_together(name: str) -> None:
    """Each loss falls to less than its half by gradient descent on the embeddings themselves."""
    loss, _ = LOSSES[name]
    embeddings = normal(len(BALANCED), WIDTH, seed=5).requires_grad_()
    optimizer = torch.optim.Adam([embeddings], lr=0.05)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        value = loss(embeddings, BALANCED)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert min(values[-10:]) < values[0] / 2


def test_label_smoothing_is_that_of_torch() -> None:
    embeddings = normal(len(BALANCED), WIDTH, seed=0)
    prototypes, queries, labels = oracle_episode.split(embeddings.tolist(), BALANCED.tolist(), SHOT)
    scores = torch.tensor(prototypical_scores(prototypes, queries, squared=False), dtype=torch.float64)
    expected = nn.functional.cross_entropy(scores, torch.tensor(labels), label_smoothing=0.2)
    assert PrototypicalLoss(SHOT, label_smoothing=0.2)(embeddings, BALANCED).item() == pytest.approx(expected.item())


def test_the_angular_defaults_are_those_of_the_config() -> None:
    loss, section = AngularLoss(1), AngularConfig()
    assert (loss.angle, loss.alpha) == (section.angle, section.alpha)
    assert loss.prototypes_as_anchors == section.prototypes_as_anchors


def test_the_relation_head_is_trained() -> None:
    with seeded_layers():
        loss = RelationLoss(1, RelationHead(2 * WIDTH))
    value = loss(normal(6, WIDTH, seed=0).float(), torch.tensor([0, 0, 1, 1, 2, 2]))
    value.backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert len(list(loss.parameters())) == 8


def test_the_generator_draws_the_negatives() -> None:
    embeddings = normal(20, WIDTH, seed=0)
    labels = torch.arange(2).repeat_interleave(10)
    values = [CPLLoss(1, 2, 0.1, generator=generator(seed))(embeddings, labels).item() for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    state = torch.get_rng_state()
    torch.manual_seed(0)
    loss = CPLLoss(1, 2, 0.1)
    first = loss(embeddings, labels).item()
    assert loss(embeddings, labels).item() != first
    torch.manual_seed(0)
    assert loss(embeddings, labels).item() == first
    torch.set_rng_state(state)


def test_no_mined_triplet_is_zero_with_zero_gradient() -> None:
    embeddings = normal(len(BALANCED), WIDTH, seed=0).requires_grad_()
    value = AngularLoss(SHOT, angle=89.9)(embeddings, BALANCED)
    value.backward()
    assert value.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_without_queries_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"need 3 rows of each class; found class 1 \(2 rows\)"):
        LOSSES[name][0](torch.zeros(5, WIDTH), torch.tensor([0, 1, 0, 1, 0]))


def test_cpl_of_unbalanced_queries_is_refused() -> None:
    with pytest.raises(ValueError, match=r"classes 0 to 2 have \[1, 3, 2\] queries; negatives are drawn"):
        CPLLoss(SHOT, 1, 0.5)(normal(12, WIDTH, seed=0), UNBALANCED)


@pytest.mark.parametrize(
    ("labels", "m", "counts"),
    [
        ([0, 0, 0, 1], 1, r"\[3, 1\] queries;"),
        ([0, 0, 1, 1], 3, r"\[2, 2\] queries;.* at least 3"),
        ([0, 0, 1, 1, 2, 2], 1, r"\[2, 2\] queries and other labels 2;"),
        ([-1, -1, 0, 0, 1, 1], 1, r"\[2, 2\] queries and other labels 2;"),
        ([], 1, r"\[0, 0\] queries"),
    ],
)
def test_negatives_of_unbalanced_labels_are_refused(labels: list[int], m: int, counts: str) -> None:
    with pytest.raises(ValueError, match=counts):
        draw_negatives(torch.tensor(labels, dtype=torch.int64), 2, m, generator(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PrototypicalLoss(0), "n_shot is 0"),
        (lambda: PrototypicalLoss(1, distance="cosinus"), "distance is 'cosinus', expected one of .*'cosine'"),  # type: ignore[arg-type]
        (lambda: PrototypicalLoss(1, label_smoothing=1.0), "label_smoothing is 1.0"),
        (lambda: CPLLoss(1, 0, 1.0), "negatives is 0"),
        (lambda: CPLLoss(1, 1, 0.0), "temperature is 0.0"),
        (lambda: CPLLoss(1, 1, 1.0, reduction="sum"), "reduction is 'sum'"),  # type: ignore[arg-type]
        (lambda: AngularLoss(1, angle=90), "angle is 90"),
        (lambda: AngularLoss(1, alpha=0), "alpha is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], EpisodeLoss], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.eye(4), [0, 0, 1, 1], "labels are of type list, expected a tensor"),
        (np.eye(4), torch.tensor([0, 0, 1, 1]), "embeddings are of type ndarray, expected a tensor"),
    ],
)
def test_what_is_no_tensor_is_refused(embeddings: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrototypicalLoss(1)(embeddings, labels)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_pickled(name: str) -> None:
    """As loops over several processes need it."""
    loss, embeddings = LOSSES[name][0], normal(len(BALANCED), WIDTH, seed=0)
    assert pickle.loads(pickle.dumps(loss))(embeddings, BALANCED).item() == loss(embeddings, BALANCED).item()
