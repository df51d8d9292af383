"""The loss of an episode against loops over views, clips and classes in float64, and what one step reaches."""

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.engine.episode_loss import EpisodeResult, Objective, episode_loss
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.functional import losses
from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork
from tests.tiny import FRAMES, MEAN, MELS, STD, tiny_configs

WAY, SHOT, QUERY = 3, 2, 2


def make(scenario: int, changes: dict[str, Any], **choice: Any) -> tuple[ExperimentConfig, FewShotNetwork]:
    experiment, model = tiny_configs(changes, scenario=scenario, **choice)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return experiment, build_network(experiment, model, MELS, FRAMES)


def episode(experiment: ExperimentConfig, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Support and query views of a made-up episode whose classes differ a little."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(WAY, 1, 1, MELS, FRAMES, generator=generator)
    sizes = ((SHOT, experiment.support_views("train")), (QUERY, experiment.query_views("train")))
    support, query = (
        center + torch.randn(WAY, items, views, MELS, FRAMES, generator=generator) for items, views in sizes
    )
    return support, query


# -- the naive episode -------------------------------------------------------------------------------------------------


class NaiveEpisode:
    """The loss as the paper reads, one spectrogram, one row, one pair at a time; differentiable."""

    def __init__(self, network: FewShotNetwork, experiment: ExperimentConfig) -> None:
        self.network = copy.deepcopy(network).double()
        self.experiment = experiment

    def loss(
        self, support: Tensor, query: Tensor, orders: list[list[int]], negatives: list[list[int]]
    ) -> EpisodeResult:
        prototypes = [mean([row for clip in clips for row in self.rows(self.tokens(clip))]) for clips in support]
        labeled = [(label, self.tokens(clip)) for label, clips in enumerate(query) for clip in clips]
        rows = [(label, row) for label, tokens in labeled for row in self.rows(tokens)]
        labels = [label for label, _ in rows]
        scores = [torch.stack([self.score(p, row) for p in prototypes]) for _, row in rows]
        classification = mean([self.cost(given, label) for given, label in zip(scores, labels, strict=True)])
        accuracy = mean([torch.tensor(float(int(s.argmax()) == c)) for s, c in zip(scores, labels, strict=True)])
        zero = torch.zeros(())
        if self.experiment.contrastive is None:
            return EpisodeResult(classification, accuracy, zero, zero)

        again = [row for _, row in rows]
        if self.network.attention is not None:
            again = [
                self.rows([tokens[v] for v in order])[0] for (_, tokens), order in zip(labeled, orders, strict=True)
            ]
        queries = [self.project(row) for row in again]
        anchors = [self.anchor(p) for p in prototypes]
        if self.experiment.contrastive == "cpl":
            contrastive, pairs = self.cpl(anchors, queries, labels, negatives), zero
        else:
            contrastive, pairs = self.angular(anchors, queries, labels)
        total = classification + self.experiment.loss.l_param * contrastive
        return EpisodeResult(total, accuracy, contrastive, pairs)

    def tokens(self, clip: Tensor) -> list[Tensor]:
        return [self.network.encoder(view.double()[None])[0] for view in clip]

    def rows(self, tokens: list[Tensor]) -> list[Tensor]:
        if self.network.attention is None:
            return tokens
        return [torch.cat(list(self.network.attention.layer(torch.stack(tokens)[None])[0]))]

    def score(self, prototype: Tensor, row: Tensor) -> Tensor:
        if self.network.relation is not None:
            scored: Tensor = self.network.relation.layers(torch.cat([prototype, row]))
            return scored[0].sigmoid()
        squared = ((prototype - row) ** 2).sum()
        return -squared if self.experiment.distance == "squared" else -squared.sqrt()

    def cost(self, scores: Tensor, label: int) -> Tensor:
        if self.network.relation is not None:
            return mean([(score - float(c == label)) ** 2 for c, score in enumerate(scores)])
        return -(scores[label] - scores.exp().sum().log())

    def project(self, row: Tensor) -> Tensor:
        assert self.network.projection is not None
        first, _, second = self.network.projection.layers
        hidden: Tensor = first(row).clamp(min=0)
        return unit(second(hidden))

    def anchor(self, prototype: Tensor) -> Tensor:
        if self.experiment.project_prototypes:
            return self.project(prototype)
        return unit(prototype) if self.experiment.normalize_prototypes else prototype

    def cpl(
        self, anchors: list[Tensor], queries: list[Tensor], labels: list[int], negatives: list[list[int]]
    ) -> Tensor:
        cpl = self.experiment.loss.cpl
        each = []
        for i, label in enumerate(labels):
            chosen = [i, *negatives[i]]
            logits = torch.stack([unit(anchors[label]) @ unit(queries[j]) / cpl.t_param for j in chosen])
            each.append(logits.exp().sum().log() - logits[0])
        return mean(each) / len(each) if cpl.reduction == "reference" else mean(each)

    def angular(self, anchors: list[Tensor], queries: list[Tensor], labels: list[int]) -> tuple[Tensor, Tensor]:
        angular = self.experiment.loss.angular
        members, member_labels = [*anchors, *queries], [*range(len(anchors)), *labels]
        first = range(len(anchors)) if angular.prototypes_as_anchors else range(len(members))
        others = range(len(anchors), len(members)) if angular.prototypes_as_anchors else range(len(members))
        slope = math.tan(math.radians(angular.alpha)) ** 2
        each = []
        for i, j in itertools.product(first, others):
            if i == j or member_labels[i] != member_labels[j]:
                continue
            a, p = members[i], members[j]
            terms = [torch.ones((), dtype=torch.float64)]
            for k in others:
                n = members[k]
                half, height = (a - p).norm() / 2, (n - (a + p) / 2).norm()
                angle = math.degrees(math.atan((half / height).item()))
                if member_labels[k] != member_labels[i] and angle > angular.angle:
                    terms.append((4 * slope * (a + p) @ n - 2 * (1 + slope) * a @ p).exp())
            if len(terms) > 1:
                each.append(torch.stack(terms).sum().log())
        return mean(each), torch.tensor(float(len(each)))


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).sum(0) / len(values)


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum().sqrt()


# -- what chance decided -----------------------------------------------------------------------------------------------


@pytest.fixture
def drawn_negatives(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The negatives that CPL drew, call by call."""
    record: list[Tensor] = []
    draw = losses.draw_negatives

    def spy(*arguments: Any) -> Tensor:
        record.append(draw(*arguments))
        return record[-1]

    monkeypatch.setattr(losses, "draw_negatives", spy)
    return record


def watch_attention(network: FewShotNetwork) -> list[Tensor]:
    """What the attention is given, call by call."""
    record: list[Tensor] = []
    assert network.attention is not None
    network.attention.register_forward_pre_hook(lambda _, inputs: record.append(inputs[0].detach().clone()))
    return record


def view_orders(given: list[Tensor]) -> list[list[int]]:
    """The order in which the contrastive branch takes each query's views, found by comparing tokens."""
    every, again = given
    queries = every[-len(again) :]
    return [
        [next(u for u in range(len(before)) if torch.equal(before[u], token)) for token in after]
        for before, after in zip(queries, again, strict=True)
    ]


# -- the loss ----------------------------------------------------------------------------------------------------------

RAW = {"project_prototypes": False, "normalize_prototypes": False}
UNIT = {"project_prototypes": False, "normalize_prototypes": True}
VIEWS = {"specaug_params.use": True, "train_query_augmentations": True}
ALL = {"loss.angular.prototypes_as_anchors": False}
CPL, ANGULAR = {"loss": "cpl"}, {"loss": "angular"}
CASES: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "1": (1, {}, {}),
    "1, CNN": (1, {"encoder": "CNN"}, {}),
    "1, squared": (1, {}, {"distance": "squared"}),
    "1, support views only": (1, {}, {"specaug_params.use": True}),
    "2": (2, {}, {}),
    "2, CNN": (2, {"encoder": "CNN"}, {}),
    "3": (3, {}, {}),
    "3, CNN": (3, {"encoder": "CNN"}, {}),
    "4 cpl": (4, CPL, {}),
    "4 cpl, plain mean": (4, CPL, {"loss.cpl.reduction": "mean"}),
    "4 cpl, one negative": (4, CPL, {"loss.cpl.m_param": 1, "loss.cpl.t_param": 0.5}),
    "4 cpl, prototypes as they are": (4, CPL, RAW),
    "4 cpl, views": (4, CPL, VIEWS),
    "4 angular": (4, ANGULAR, {}),
    "4 angular, wide": (4, ANGULAR, {"loss.angular.angle": 35, "loss.angular.alpha": 25}),
    "4 angular, one set": (4, ANGULAR, ALL),
    "4 angular, unit prototypes": (4, ANGULAR, UNIT),
    "4 angular, raw prototypes": (4, ANGULAR, RAW),
    "4 angular, views": (4, ANGULAR, VIEWS),
    "5 cpl": (5, CPL, {}),
    "5 cpl, CNN": (5, {**CPL, "encoder": "CNN"}, {}),
    "5 angular": (5, ANGULAR, {}),
    "5 angular, one set, raw prototypes": (5, ANGULAR, {**ALL, **RAW}),
}


@pytest.mark.parametrize("relation", [False, True], ids=["distance", "relation"])
@pytest.mark.parametrize(("scenario", "choice", "changes"), CASES.values(), ids=list(CASES))
def test_loss_and_gradients_equal_the_naive_episode(
    drawn_negatives: list[Tensor], scenario: int, choice: dict[str, str], changes: dict[str, Any], relation: bool
) -> None:
    weight = {"loss.l_param": 100.0} if choice.get("loss") == "cpl" else {}  # so that its gradients are seen
    experiment, network = make(scenario, {**changes, **weight, "relation_head": relation}, **choice)
    network.eval()  # batch norm by its running statistics, no dropout: then one batch is the same as one by one
    support, query = episode(experiment)
    given = watch_attention(network) if network.attention is not None else []
    result = episode_loss(network, Objective.of(experiment), support, query, torch.Generator().manual_seed(2))
    torch.autograd.backward(result.loss)

    naive = NaiveEpisode(network.requires_grad_(True), experiment)
    naive.network.zero_grad()
    orders = view_orders(given) if len(given) == 2 else []
    negatives = drawn_negatives[0].tolist() if drawn_negatives else []
    expected = naive.loss(support, query, orders, negatives)
    torch.autograd.backward(expected.loss)

    for name, value in expected._asdict().items():
        assert getattr(result, name).item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
    assert (experiment.contrastive == "angular") == (result.pairs.item() > 0)
    gradients = dict(naive.network.named_parameters())
    scale = max(float(p.grad.norm()) for p in gradients.values() if p.grad is not None)
    assert scale > 0
    for name, parameter in network.named_parameters():
        right = gradients[name].grad
        assert (parameter.grad is None) == (right is None), name
        if parameter.grad is not None and right is not None:
            assert (parameter.grad - right).norm() <= 1e-4 * right.norm() + 1e-5 * scale, name


@pytest.mark.parametrize("loss", [CPL, ANGULAR], ids=["cpl", "angular"])
def test_the_contrastive_weight_of_zero_leaves_the_classification(loss: dict[str, str]) -> None:
    experiment, network = make(4, {"loss.l_param": 0.0}, **loss)
    plain, _ = make(1, {})
    network.eval()
    support, query = episode(experiment)
    both = episode_loss(network, Objective.of(experiment), support, query, torch.Generator())
    network.projection = None
    alone = episode_loss(network, Objective.of(plain), support, query, torch.Generator())
    assert both.contrastive.item() > 0
    assert both.loss.item() == alone.loss.item()


def test_no_mined_pair_costs_nothing() -> None:
    experiment, network = make(4, {"loss.angular.angle": 89.9}, **ANGULAR)
    result = episode_loss(network, Objective.of(experiment), *episode(experiment), torch.Generator())
    torch.autograd.backward(result.loss)
    assert result.pairs.item() == result.contrastive.item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


# -- one batch, its statistics, its views ------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [1, 2, 5])
def test_support_query_and_views_are_one_batch(scenario: int) -> None:
    experiment, network = make(scenario, {})
    seen: list[Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    support, query = episode(experiment)
    episode_loss(network, Objective.of(experiment), support, query, torch.Generator())
    assert [len(batch) for batch in seen] == [support.flatten(0, 2).shape[0] + query.flatten(0, 2).shape[0]]


def test_the_contrastive_branch_shuffles_all_views_but_the_original() -> None:
    experiment, network = make(5, {})
    network.eval()
    given = watch_attention(network)
    support, query = episode(experiment)
    actual: set[tuple[int, ...]] = set()
    for seed in range(20):
        given.clear()
        episode_loss(network, Objective.of(experiment), support, query, torch.Generator().manual_seed(seed))
        orders = view_orders(given)
        assert all(order[0] == 0 and sorted(order) == [0, 1, 2, 3] for order in orders)
        assert seed or len({tuple(order) for order in orders}) > 1  # drawn for each example
        actual |= {tuple(order) for order in orders}
    assert actual == {(0, *rest) for rest in itertools.permutations((1, 2, 3))}


# -- one training step -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> Dataset:
    return open_dataset(tiny_dataset, tiny_configs({"specaug_params.use": True})[0])


def training(
    dataset: Dataset, experiment: ExperimentConfig, network: FewShotNetwork, seed: int = 0
) -> EpisodicTraining:
    network.set_normalization(dataset.mean, dataset.std)
    return EpisodicTraining(network, experiment, dataset.data, seed)


STEPS: dict[str, tuple[int, dict[str, str], set[str]]] = {
    "1": (1, {}, {"encoder"}),
    "2": (2, {}, {"encoder"}),
    "3": (3, {}, {"encoder", "attention"}),
    "4 cpl": (4, CPL, {"encoder", "projection"}),
    "4 angular": (4, ANGULAR, {"encoder", "projection"}),
    "5 cpl": (5, CPL, {"encoder", "attention", "projection"}),
    "5 angular": (5, ANGULAR, {"encoder", "attention", "projection"}),
}


@pytest.mark.parametrize("relation", [False, True], ids=["distance", "relation"])
@pytest.mark.parametrize("encoder", ["CNN", "Hybrid"])
@pytest.mark.parametrize(("scenario", "loss", "named"), STEPS.values(), ids=list(STEPS))
def test_one_step_reaches_every_module_of_the_scenario(
    dataset: Dataset, scenario: int, loss: dict[str, str], named: set[str], encoder: str, relation: bool
) -> None:
    changes = {"relation_head": relation, "loss.angular.angle": 2.0}
    experiment, network = make(scenario, changes, encoder=encoder, **loss)
    torch.autograd.backward(training(dataset, experiment, network).training_step(0))
    children = {name for name, module in network.named_children() if any(True for _ in module.parameters())}
    assert children == named | ({"relation"} if relation else set())
    for name, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            assert any(p.grad is not None and p.grad.abs().max() > 0 for p in own), name


@pytest.mark.parametrize(
    ("scenario", "changes", "n_query_views"),
    [(2, {}, 4), (2, {"train_query_augmentations": False}, 1), (3, {}, 4), (5, {}, 4), (1, {}, 1)],
)
def test_every_view_differs_from_the_original(
    dataset: Dataset, scenario: int, changes: dict[str, Any], n_query_views: int
) -> None:
    experiment, network = make(scenario, changes)
    seen: list[Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    training(dataset, experiment, network, seed=4).training_step(1)
    n_views = 1 if scenario == 1 else 4
    data = dataset.data
    drawn = Episodes(data.store.index, data.splits.train, WAY, SHOT, QUERY, seed=4, phase="train").episode(0, 1)
    n_support = drawn.support.size * n_views
    parts = (
        seen[0][:n_support].view(-1, n_views, MELS, FRAMES),
        seen[0][n_support:].view(-1, n_query_views, MELS, FRAMES),
    )
    for views, segments in zip(parts, (drawn.support, drawn.query), strict=True):
        original = torch.from_numpy((data.store.read(segments.ravel()) - np.float32(MEAN)) / np.float32(STD))
        assert torch.equal(views[:, 0], original)
        if views.shape[1] == 1:
            continue
        differs = [(views[:, v] != original) for v in range(1, 4)]
        assert differs[0].flatten(1).any(1).double().mean() > 0.5  # a warp by 0 frames is the identity
        for masked, axis in ((1, 1), (2, 2)):  # a time mask covers all mel bins, a frequency mask all frames
            assert differs[masked].flatten(1).any(1).all()
            covered = differs[masked].any(axis)
            assert torch.equal(differs[masked], covered.unsqueeze(axis).expand_as(differs[masked]))
            assert torch.equal(views[:, 1 + masked][differs[masked]], torch.zeros(int(differs[masked].sum())))
            assert len({tuple(row) for row in covered.tolist()}) > 1  # drawn for each example


Step = Callable[[int, int], float]


@pytest.fixture
def step(dataset: Dataset) -> Step:
    """Loss of a task's first step under a seed, from the same weights."""

    def loss(seed: int, task: int) -> float:
        experiment, network = make(5, {})
        result: float = training(dataset, experiment, network, seed).training_step(task).item()
        return result

    return loss


def test_a_step_is_a_function_of_seed_and_task(step: Step) -> None:
    before = torch.get_rng_state()
    losses = {(seed, task): step(seed, task) for seed in (0, 1) for task in (0, 1)}
    torch.rand(3)
    assert {key: step(*key) for key in losses} == losses
    assert len(set(losses.values())) == 4
    torch.set_rng_state(before)
    step(0, 0)
    assert torch.equal(torch.get_rng_state(), before)  # torch's global generator is left alone


def test_dropout_is_drawn_anew_for_each_task(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, network = make(3, {})
    masks: list[Tensor] = []

    def record(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        masks.append(output == 0)

    for module in network.encoder.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(record)
    steps = training(dataset, experiment, network)
    for task in (0, 1, 0):
        steps.training_step(task)
    assert masks[0].any()
    assert not torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
