"""Validation and testing by the field's protocol: thousands of tasks as index arithmetic on embeddings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.episodes import ClipIndex, EpisodeSampler, Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.embed import Embeddings, embed_segments
from fewshot_audio.engine.task_batches import Chunk, Embedder, QuerySegments, fresh_chunks, pooled_chunks
from fewshot_audio.functional.prototypes import prototypes
from fewshot_audio.functional.vote import vote
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.progress import Progress, silent

CENTER_CLIPS = 20  # of a class, by which the center of embeddings is found


class Answers(NamedTuple):
    """Every query's answer, each (tasks, way, n_query): ``truth`` and ``answer`` are classes of the split.

    ``probability`` is the answer's: the mean over the clip's rows of the softmax of their scores.
    """

    clip: Indices
    truth: Indices
    answer: Indices
    probability: NDArray[np.float32]


class TaskScores(NamedTuple):
    """Accuracy and loss of each task, float64 (tasks,), and the answers of its queries."""

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    answers: Answers


class System(Embedder, Protocol):
    """What is tested: it embeds segments, and scores the rows of queries by those of the support."""

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Shape: support (tasks, way, rows, width), queries (tasks, rows, width) -> (tasks, rows, way)."""


@dataclass(frozen=True)
class NetworkSystem:
    """A network: its embeddings, and its scores against the prototypes."""

    network: FewShotNetwork
    experiment: ExperimentConfig
    store: SegmentStore
    maker: ViewMaker
    phase: Phase
    seed: int

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed as the phase asks, and transform."""
        embeddings = embed_segments(
            self.network,
            self.experiment,
            self.store,
            self.maker,
            segments,
            self.phase,
            seed=self.seed,
            progress=progress,
        )
        return replace(embeddings, rows=self.network.transform(embeddings.rows))

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score against the mean of each class's rows."""
        return self.network.score(prototypes(support), queries)


class Once:
    """A system that is tested several times: segments that are asked for again are not embedded again."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._last: Embeddings | None = None

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments, unless they are those of the last time."""
        if self._last is None or not np.array_equal(self._last.segments, segments):
            self._last = self._system.embed(segments, progress)
        return self._last

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """As the system does."""
        return self._system.scores(support, queries)


def evaluate_phase(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    classes: Sequence[str],
    phase: Phase,
    *,
    seed: int,
    tasks: int,
    fresh_views: bool = False,
    progress: Progress = silent,
) -> TaskScores:
    """Evaluate the network on ``tasks`` episodes of a split's ``classes``; its mode is restored afterwards.

    Views come from a pool of ``DRAWS`` per segment, each embedded once, of which every item of every task takes one at
    random; with ``fresh_views`` every item of every task has views of its own, which are embedded for it: the same in
    expectation, and much slower.
    """
    system = NetworkSystem(network, experiment, store, maker, phase, seed)
    planned = plan_tasks(experiment, store.index, classes, phase, seed, tasks)
    was_training = network.training
    network.eval()
    try:
        if not (fresh_views and experiment.query_views(phase) > 1):
            return evaluate_system(system, experiment, planned, phase, seed=seed, progress=progress)
        fresh = fresh_chunks(network, experiment, store, maker, phase, seed, planned.support, planned.queries, progress)
        return score_tasks(system, experiment, planned, phase, fresh)
    finally:
        network.train(was_training)


class PlannedTasks(NamedTuple):
    """Which segments the tasks are made of: ``support`` (tasks, way, shot), ``clips`` (tasks, way, n_query)."""

    classes: Indices
    support: Indices
    queries: QuerySegments
    clips: Indices


def plan_tasks(
    experiment: ExperimentConfig, index: ClipIndex, classes: Sequence[str], phase: Phase, seed: int, tasks: int
) -> PlannedTasks:
    """Draw the tasks of ``phase``, which depend on ``seed`` and ``phase`` only."""
    way, shot, n_query = experiment.way(phase), experiment.shot(phase), experiment.query(phase)
    sampler = EpisodeSampler(
        index,
        classes,
        way,
        shot,
        n_query,
        seed=seed,
        phase=phase,
        disjoint_groups=experiment.disjoint_groups,
        joint_sampling=experiment.joint_sampling,
    )
    episodes = [sampler.episode(0, task) for task in range(tasks)]
    return PlannedTasks(
        classes=np.stack([episode.classes for episode in episodes]),
        support=np.stack([episode.support for episode in episodes]),
        queries=QuerySegments.of(index, episodes, whole_clips=phase == "test" and experiment.multi_segm),
        clips=np.stack([episode.query_clips for episode in episodes]),
    )


def evaluate_system(
    system: System,
    experiment: ExperimentConfig,
    planned: PlannedTasks,
    phase: Phase,
    *,
    seed: int,
    progress: Progress = silent,
) -> TaskScores:
    """Evaluate any system on the planned tasks."""
    chunks = pooled_chunks(system, experiment, phase, seed, planned.support, planned.queries, progress)
    return score_tasks(system, experiment, planned, phase, chunks)


def score_tasks(
    system: System, experiment: ExperimentConfig, planned: PlannedTasks, phase: Phase, chunks: Iterable[Chunk]
) -> TaskScores:
    """Score all tasks, chunk by chunk.

    In testing a clip's answer is the vote over its rows (segments, with ``multi_segm``, and views); in validation
    every row counts by itself, and a clip's first row is its answer.
    """
    with torch.no_grad():
        parts = [_score(system, experiment, phase, chunk) for chunk in chunks]
    scored = _Scores(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    tasks, _, n_query = planned.clips.shape
    answers = Answers(
        clip=planned.clips,
        truth=np.repeat(planned.classes[..., None], n_query, axis=-1),
        answer=np.take_along_axis(planned.classes, scored.answer.reshape(tasks, -1), axis=1).reshape(
            scored.answer.shape
        ),
        probability=scored.probability,
    )
    return TaskScores(scored.accuracy, scored.loss, answers)


def center_embeddings(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    classes: Sequence[str],
    *,
    seed: int,
) -> None:
    """Where the network centers embeddings, set the center: the mean over the training ``classes``, in eval mode.

    Every class weighs the same; of each at most CENTER_CLIPS clips are embedded, evenly spaced, one segment of each.
    Views are those of validation.
    """
    if network.center is None:
        return
    clips = [store.index.by_class[name] for name in classes]
    some = [of_class[:: -(-len(of_class) // CENTER_CLIPS)] for of_class in clips]
    segments = [store.index.offsets[of_class] for of_class in some]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            wanted = np.unique(np.concatenate(segments))
            embeddings = embed_segments(network, experiment, store, maker, wanted, "validation", seed=seed)
            first = np.zeros((), np.int64)
            means = [embeddings.take(of_class, first).flatten(0, -2).mean(0) for of_class in segments]
            network.center.copy_(torch.stack(means).mean(0))
    finally:
        network.train(was_training)


class _Scores(NamedTuple):
    """Of each task (tasks,) its accuracy and loss; of each query (tasks, way, n_query) its label and probability."""

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    answer: Indices
    probability: NDArray[np.float32]


def _score(system: System, experiment: ExperimentConfig, phase: Phase, chunk: Chunk) -> _Scores:
    embeddings, query = chunk.embeddings, chunk.query
    support_rows = embeddings.take(chunk.support, chunk.support_draws).flatten(2, 3)  # (tasks, way, rows, width)
    rows = embeddings.take(query.segments, chunk.query_draws[..., None])  # (tasks, way, n_query, longest, rows, width)
    tasks, way, n_query = rows.shape[:3]
    scores = system.scores(support_rows, rows.flatten(1, 4)).view(tasks, way, n_query, -1, way)
    present = torch.from_numpy(query.present).to(scores.device)
    valid = present.unsqueeze(-1).expand(*present.shape, rows.shape[-2]).flatten(3)  # (tasks, way, n_query, rows)
    labels = torch.arange(way, device=scores.device).view(1, way, 1)
    if phase == "test":
        answer = vote(scores, valid, experiment.tie_strategy)
        right = answer == labels
    else:
        ballots = scores.argmax(-1)
        answer, right = ballots[..., 0], ballots == labels.unsqueeze(-1)
    weight = valid / valid.sum(-1, keepdim=True)
    posterior = (scores.softmax(-1) * weight.unsqueeze(-1)).sum(-2)
    probability = posterior.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    accuracy = right.double().flatten(1).mean(1)
    loss = _row_losses(scores, labels.unsqueeze(-1), relation=experiment.relation_head)
    loss = (loss * valid).double().flatten(1).sum(1) / valid.flatten(1).sum(1)
    return _Scores(*(value.cpu().numpy() for value in (accuracy, loss, answer, probability)))


def _row_losses(scores: Tensor, labels: Tensor, *, relation: bool) -> Tensor:
    """Loss of each row, as in training. Shape: scores (..., way), labels broadcast to (...) -> (...)."""
    labels = labels.expand(scores.shape[:-1]).unsqueeze(-1)
    if relation:
        return (scores - torch.zeros_like(scores).scatter(-1, labels, 1)).square().mean(-1)
    return scores.logsumexp(-1) - scores.gather(-1, labels).squeeze(-1)
