"""Evaluation against a loop that embeds every clip of every task afresh, one spectrogram at a time, in float64."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig, ModelConfig, Phase
from fewshot_audio.data.episodes import Episode, Episodes
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine import system as system_module
from fewshot_audio.engine import task_batches
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.engine.system import DRAWS
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.functional.seeding import Purpose, numpy_generator, torch_generator
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import SpecViews
from fewshot_audio.progress import Progress, silent
from tests.engine.evaluation import evaluate_phase
from tests.oracles import algebra, losses, spectrogram
from tests.oracles import prototypes as oracle
from tests.oracles.vote import vote
from tests.tiny import MEAN, STD, tiny_configs

TASKS, SEED = 8, 3


def make(dataset: Dataset, changes: dict[str, Any], scenario: int = 1) -> tuple[ExperimentConfig, FewShotNetwork]:
    experiment, model = tiny_configs(changes, scenario=scenario)
    return experiment, make_network(dataset, experiment, model)


def make_network(dataset: Dataset, experiment: ExperimentConfig, model: ModelConfig) -> FewShotNetwork:
    """Random weights, and batch norm's statistics from the data, so that embeddings tell clips apart."""
    mels, frames = dataset.data.store.shape
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        network = build_network(experiment, model, mels, frames)
        network.set_normalization(MEAN, STD)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = 1.0
        network.encode(network.normalize(torch.from_numpy(dataset.data.store.read(np.arange(100)))))
        if network.relation is not None:  # as it starts, one prototype wins whatever the query
            for parameter in network.relation.parameters():
                parameter.mul_(5)
    return network


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> Dataset:
    return open_dataset(tiny_dataset, tiny_configs()[0])


class NaiveEvaluation:
    """The protocol read aloud; keeps to the documented draws of views, and shares nothing else with the package."""

    def __init__(self, network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset, phase: Phase) -> None:
        self.network = copy.deepcopy(network).double().eval()
        self.experiment, self.store, self.phase = experiment, dataset.data.store, phase
        classes = dataset.data.splits[phase]
        sizes = experiment.way(phase), experiment.shot(phase), experiment.query(phase)
        sampler = Episodes(self.store.index, classes, *sizes, seed=SEED, phase=phase)
        self.episodes = [sampler.episode(0, task) for task in range(TASKS)]
        self.whole_clips = phase == "test" and experiment.multi_segm
        self.with_views = experiment.specaug_params.use and experiment.query_flag(phase)
        needed = {segment for episode in self.episodes for segment in self.segments_of(episode)}
        self.position = {segment: i for i, segment in enumerate(sorted(needed))}
        maker = SpecViews(experiment.specaug_params)
        self.draws = [
            maker.draw(len(needed), self.store.shape, torch_generator(SEED, phase, 0, draw, Purpose.VIEWS))
            for draw in range(DRAWS[phase] if self.with_views else 0)
        ]

    def clip(self, clip: int, drawn: int) -> list[int]:
        return list(self.store.index.segments(clip)) if self.whole_clips else [drawn]

    def segments_of(self, episode: Episode) -> Iterator[int]:
        yield from episode.support.ravel().tolist()
        for clip, drawn in zip(episode.query_clips.ravel().tolist(), episode.query.ravel().tolist(), strict=True):
            yield from self.clip(clip, drawn)

    def views(self, segment: int, draw: int) -> list[list[list[float]]]:
        x = ((self.store.read(np.array(segment)).astype(np.float64) - MEAN) / STD).tolist()
        if not self.with_views:
            return [x]
        drawn, i = self.draws[draw], self.position[segment]

        def spans(start: Tensor, width: Tensor) -> list[tuple[int, int]]:
            return list(zip(start[i].tolist(), width[i].tolist(), strict=True))

        fill = self.experiment.specaug_params.mask_value
        return [
            x,
            spectrogram.time_warp(x, int(drawn.warp_source[i]), int(drawn.warp_shift[i])),
            spectrogram.time_mask(x, spans(drawn.time_start, drawn.time_width), fill),
            spectrogram.frequency_mask(x, spans(drawn.freq_start, drawn.freq_width), fill),
        ]

    def embed(self, segment: int, draw: int) -> list[list[float]]:
        """The rows of a segment: one per view, or one in all where attention fuses them."""
        with torch.no_grad():
            tokens = [
                self.network.encoder(torch.tensor([view], dtype=torch.float64))[0] for view in self.views(segment, draw)
            ]
            if self.network.attention is not None:
                tokens = [self.network.attention(torch.stack(tokens)[None])[0]]
        rows: list[list[float]] = [token.tolist() for token in tokens]
        return rows

    def scores(self, prototypes: list[list[float]], rows: list[list[float]]) -> list[list[float]]:
        if self.network.relation is not None:
            with torch.no_grad():
                given: list[list[float]] = self.network.relation(
                    torch.tensor(prototypes, dtype=torch.float64), torch.tensor(rows, dtype=torch.float64)
                ).tolist()
            return given
        return oracle.prototypical_scores(prototypes, rows, squared=self.experiment.distance == "squared")

    def task(self, number: int) -> tuple[float, float]:
        """Accuracy and loss of a task."""
        episode = self.episodes[number]
        support_draws, query_draws = np.zeros_like(episode.support), np.zeros_like(episode.query)
        if len(self.draws) > 1:
            random = numpy_generator(SEED, self.phase, 0, number, Purpose.DRAW)
            support_draws = random.integers(len(self.draws), size=episode.support.shape)
            query_draws = random.integers(len(self.draws), size=episode.query.shape)
        support = [
            [row for s, draw in zip(*items, strict=True) for row in self.embed(s, draw)]
            for items in zip(episode.support.tolist(), support_draws.tolist(), strict=True)
        ]
        prototypes = oracle.prototypes(support)
        right: list[bool] = []
        costs: list[float] = []
        for label in range(len(prototypes)):
            for item in range(episode.query.shape[1]):
                draw = int(query_draws[label, item])
                segments = self.clip(int(episode.query_clips[label, item]), int(episode.query[label, item]))
                rows = [row for segment in segments for row in self.embed(segment, draw)]
                scores = self.scores(prototypes, rows)
                if self.phase == "test":
                    right.append(vote(scores, [True] * len(scores), self.experiment.tie_strategy) == label)
                else:
                    right += [row.index(max(row)) == label for row in scores]
                cost = losses.relation_loss if self.network.relation is not None else losses.prototypical_loss
                costs += [cost([row], [label]) for row in scores]
        return algebra.mean([float(hit) for hit in right]), algebra.mean(costs)


def run(network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset, phase: Phase) -> TaskScores:
    return evaluate_on(dataset, network, experiment, phase)


def evaluate_on(
    dataset: Dataset,
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    phase: Phase,
    seed: int = SEED,
    tasks: int = TASKS,
    fresh_views: bool = False,
    progress: Progress = silent,
) -> TaskScores:
    return evaluate_phase(
        network,
        experiment,
        replace(dataset.data, views=SpecViews(experiment.specaug_params)),
        phase,
        seed=seed,
        tasks=tasks,
        fresh_views=fresh_views,
        progress=progress,
    )


VOTE = {"multi_segm": True}
VIEWS = {"specaug_params.use": True, "test_query_augmentations": True, "validation_query_augmentations": True}
RELATION = {"relation_head": True}
CASES: dict[str, tuple[Phase, int, dict[str, Any]]] = {
    "plain": ("test", 1, {}),
    "squared distance": ("test", 1, {"distance": "squared"}),
    "CNN": ("test", 1, {"encoder_name": "CNN"}),
    "relation": ("test", 1, RELATION),
    "other sizes": ("test", 1, {"n_way_test": 6, "n_shot_test": 1, "n_query_test": 4}),
    "segments vote": ("test", 1, VOTE),
    "segments vote, lowest label": ("test", 1, {**VOTE, "tie_strategy": "min_label"}),
    "segments vote, posterior": ("test", 1, {**VOTE, "tie_strategy": "max_posterior"}),
    "segments vote, relation, posterior": ("test", 1, {**VOTE, **RELATION, "tie_strategy": "max_posterior"}),
    "views vote": ("test", 2, VIEWS),
    "views and segments vote": ("test", 2, {**VIEWS, **VOTE}),
    "views and segments vote, lowest label": ("test", 2, {**VIEWS, **VOTE, "tie_strategy": "min_label"}),
    "views and segments vote, posterior": ("test", 2, {**VIEWS, **VOTE, "tie_strategy": "max_posterior"}),
    "attention": ("test", 3, {}),
    "attention, segments vote": ("test", 3, VOTE),
    "attention, relation, segments vote": ("test", 3, {**VOTE, **RELATION}),
    "views in training only": ("test", 2, {}),
    "validation": ("validation", 1, VOTE),
    "validation, views": ("validation", 2, VIEWS),
    "validation, attention": ("validation", 3, {}),
    "validation, relation": ("validation", 1, RELATION),
}


@pytest.mark.parametrize(("phase", "scenario", "changes"), CASES.values(), ids=list(CASES))
def test_evaluation_equals_the_naive_loop(
    dataset: Dataset, phase: Phase, scenario: int, changes: dict[str, Any]
) -> None:
    experiment, network = make(dataset, changes, scenario)
    naive = NaiveEvaluation(network, experiment, dataset, phase)
    scores = run(network, experiment, dataset, phase)
    expected = [naive.task(number) for number in range(TASKS)]
    assert scores.accuracy.dtype == scores.loss.dtype == np.float64
    assert scores.accuracy.tolist() == pytest.approx([accuracy for accuracy, _ in expected])
    assert scores.loss.tolist() == pytest.approx([loss for _, loss in expected], rel=1e-4)
    assert len(set(scores.accuracy.tolist())) > 1  # not the same number whatever happens


class NaiveFreshEvaluation(NaiveEvaluation):
    """Every item of every task has views of its own; within a task no segment occurs twice."""

    def task(self, number: int) -> tuple[float, float]:
        items = list(self.segments_of(self.episodes[number]))
        assert len(set(items)) == len(items)
        self.position = {segment: i for i, segment in enumerate(items)}
        generator = torch_generator(SEED, self.phase, 1, number, Purpose.VIEWS)
        self.draws = [SpecViews(self.experiment.specaug_params).draw(len(items), self.store.shape, generator)]
        return super().task(number)


FRESH_CASES = ("views vote", "views and segments vote", "attention", "attention, relation, segments vote")


@pytest.mark.parametrize("case", FRESH_CASES)
def test_fresh_views_equal_the_naive_loop(dataset: Dataset, case: str) -> None:
    phase, scenario, changes = CASES[case]
    experiment, network = make(dataset, changes, scenario)
    naive = NaiveFreshEvaluation(network, experiment, dataset, phase)
    scores = evaluate_on(dataset, network, experiment, phase, fresh_views=True)
    expected = [naive.task(number) for number in range(TASKS)]
    assert scores.accuracy.tolist() == pytest.approx([accuracy for accuracy, _ in expected])
    assert scores.loss.tolist() == pytest.approx([loss for _, loss in expected], rel=1e-4)


def test_the_pool_and_fresh_views_agree_within_their_intervals(dataset: Dataset) -> None:
    for scenario, changes in ((2, VIEWS), (3, VOTE)):
        experiment, network = make(dataset, changes, scenario)
        tests = [
            evaluate_on(dataset, network, experiment, "test", tasks=150, fresh_views=fresh) for fresh in (False, True)
        ]
        (pool, pool_width), (fresh, fresh_width) = ((t.accuracy.mean(), ci95(t.accuracy)) for t in tests)
        assert abs(pool - fresh) < min(pool_width, fresh_width)
        assert not np.array_equal(tests[0].loss, tests[1].loss)
        paired = tests[0].accuracy - tests[1].accuracy  # the same tasks, so that the views alone differ
        assert abs(paired.mean()) < 1.5 * ci95(paired)


def test_fresh_views_without_views_change_nothing(dataset: Dataset) -> None:
    experiment, network = make(dataset, VOTE)
    tests = [evaluate_on(dataset, network, experiment, "test", fresh_views=fresh) for fresh in (False, True)]
    assert np.array_equal(tests[0].loss, tests[1].loss)


def test_the_tie_strategies_differ_here(dataset: Dataset) -> None:
    """So that the comparison above can tell them apart."""
    answers = set()
    for strategy in ("", "min_label", "max_posterior"):
        experiment, network = make(dataset, {**VOTE, "tie_strategy": strategy})
        answers.add(tuple(run(network, experiment, dataset, "test").accuracy.tolist()))
    assert len(answers) == 3


@pytest.mark.parametrize(
    ("phase", "scenario", "changes"),
    [
        ("test", 1, VOTE),
        ("test", 1, {**VOTE, **RELATION}),
        ("test", 2, {**VIEWS, **VOTE}),
        ("test", 3, VOTE),
        ("validation", 3, {}),
    ],
    ids=["segments vote", "relation", "views", "attention", "validation"],
)
def test_chunks_and_batches_do_not_matter(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, phase: Phase, scenario: int, changes: dict[str, Any]
) -> None:
    experiment, network = make(dataset, changes, scenario)
    whole = run(network, experiment, dataset, phase)
    for budget, batch in ((1, 128), (3000, 13)):
        monkeypatch.setattr(task_batches, "TASK_BUDGET", budget)
        monkeypatch.setattr(system_module, "ENCODE_BATCH", batch)
        parts = run(network, experiment, dataset, phase)
        assert np.array_equal(parts.accuracy, whole.accuracy)
        assert parts.loss.tolist() == pytest.approx(whole.loss.tolist(), abs=1e-6)


def test_each_segment_is_encoded_once_and_each_view_once_per_draw(dataset: Dataset) -> None:
    for changes, scenario, per_segment in ((VOTE, 1, 1), ({}, 3, 1 + 3 * DRAWS["test"])):
        experiment, network = make(dataset, changes, scenario)
        encoded: list[int] = []
        network.encoder.register_forward_pre_hook(lambda _, inputs, seen=encoded: seen.append(len(inputs[0])))
        naive = NaiveEvaluation(network, experiment, dataset, "test")
        run(network, experiment, dataset, "test")
        assert sum(encoded) == per_segment * len(naive.position)


def test_several_draws_of_views_are_in_use(dataset: Dataset) -> None:
    """The same support clips and queries, but another test of the same clip may show it with other views."""
    experiment, network = make(dataset, {}, 3)
    naive = NaiveEvaluation(network, experiment, dataset, "test")
    segment = next(iter(naive.position))
    assert len({str(naive.views(segment, draw)[1:]) for draw in range(DRAWS["test"])}) > 1


@pytest.mark.parametrize("other", [{"phase": "validation"}, {"seed": SEED + 1}])
def test_phase_and_seed_choose_the_tasks(dataset: Dataset, other: dict[str, Any]) -> None:
    """Of the same classes: another phase or another seed makes other tasks of them."""
    index, classes = dataset.data.store.index, dataset.data.splits.test
    protocol = replace(TaskProtocol.test(tiny_configs()[0]), seed=SEED)
    first, again, others = (plan_tasks(index, classes, p) for p in (protocol, protocol, replace(protocol, **other)))
    for name in ("classes", "support", "clips"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.support, others.support)
    assert not np.array_equal(first.clips, others.clips)

    experiment, network = make(dataset, {"n_way_validation": 3})
    splits = {"validation": Splits((), classes, ()), "test": Splits((), (), classes)}

    def losses_of(phase: Phase = "test", seed: int = SEED) -> list[float]:
        data = replace(dataset.data, splits=splits[phase])
        return evaluate_phase(network, experiment, data, phase, seed=seed, tasks=TASKS).loss.tolist()

    assert losses_of() == losses_of()
    assert losses_of() != losses_of(**other)


def test_fewer_tasks_are_the_first_of_more(dataset: Dataset) -> None:
    experiment, network = make(dataset, VOTE)
    few, many = (evaluate_on(dataset, network, experiment, "test", tasks=tasks) for tasks in (5, 9))
    assert few.loss.tolist() == pytest.approx(many.loss[:5].tolist(), abs=1e-6)
    assert np.array_equal(few.accuracy, many.accuracy[:5])


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(dataset: Dataset, training: bool) -> None:
    experiment, network = make(dataset, {}, 3)
    network.train(training)
    tokens = network.encode(torch.ones(8, *dataset.data.store.shape)).view(2, 4, -1)
    torch.autograd.backward(network.fuse(tokens).square().sum())
    before = copy.deepcopy(network.state_dict())
    gradients = {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    random = torch.get_rng_state()
    scores = run(network, experiment, dataset, "test")
    assert all(math.isfinite(loss) for loss in scores.loss)
    assert all(module.training is training for module in network.modules())
    assert torch.is_grad_enabled()
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert gradients
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (name not in gradients)
        assert parameter.grad is None or torch.equal(parameter.grad, gradients[name])
    assert torch.equal(torch.get_rng_state(), random)


def test_the_mode_is_restored_after_an_interruption(dataset: Dataset) -> None:
    experiment, network = make(dataset, {})

    def interrupt(description: str, done: int, total: int, details: str = "") -> None:
        raise KeyboardInterrupt

    network.train()
    with pytest.raises(KeyboardInterrupt):
        evaluate_on(dataset, network, experiment, "test", progress=interrupt)
    assert network.training
    assert torch.is_grad_enabled()


def test_the_result_does_not_depend_on_the_mode_before(dataset: Dataset) -> None:
    experiment, network = make(dataset, {}, 3)
    trained = run(network.train(), experiment, dataset, "test")
    assert np.array_equal(trained.loss, run(network.eval(), experiment, dataset, "test").loss)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """(phase, seed, tasks) of every evaluation that an experiment makes."""
    calls: list[tuple[str, int, int]] = []

    def spy(original: Callable[..., TaskScores]) -> Callable[..., TaskScores]:
        def evaluate(*arguments: Any, **options: Any) -> TaskScores:
            protocol = arguments[1]
            calls.append((protocol.phase, protocol.seed, protocol.n_tasks))
            return original(*arguments, **options)

        return evaluate

    monkeypatch.setattr("fewshot_audio.experiments.evaluate_run.evaluate_network", spy(evaluate_network))
    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", spy(evaluate_network))
    return calls


def test_test_tasks_depend_on_the_test_seed_only(
    tiny_dataset: Path, tmp_path: Path, asked: list[tuple[str, int, int]]
) -> None:
    """Two runs of other seeds, and an experiment of another seed: the same test tasks, but other validation tasks."""
    for seed, test_seed in ((0, 0), (7, 0), (0, 9)):
        changes = {"seed": seed, "test_seed": test_seed, "num_runs": 2, "experiment_folder": f"{seed}-{test_seed}"}
        run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path)
    run_of = [("validation", 3), ("validation", 3), ("test", 10)]  # two epochs, then the test
    assert [(phase, tasks) for phase, _, tasks in asked] == 6 * run_of
    assert [seed for phase, seed, _ in asked if phase == "test"] == [0, 0, 0, 0, 9, 9]
    assert [seed for phase, seed, _ in asked if phase == "validation"] == [0, 0, 1, 1, 7, 7, 8, 8, 0, 0, 1, 1]
