"""Validation and testing by the field's protocol: thousands of tasks as index arithmetic on embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.embeddings import Embeddings, embed_segments
from fewshot_audio.episodes import ClipIndex, Episode, EpisodeSampler, Indices
from fewshot_audio.learners import prototypes
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.randomness import Purpose, numpy_generator
from fewshot_audio.views import ViewMaker
from fewshot_audio.vote import vote

CENTRE_CLIPS = 20  # of a class, by which the centre of embeddings is found
TASK_BUDGET = 2**24  # numbers held at once while a chunk of tasks is scored


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


class System(Protocol):
    """What is tested: it embeds segments, and scores the rows of queries by those of the support."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments of the store."""

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
    progress: Progress = silent,
) -> TaskScores:
    """Evaluate the network on ``tasks`` episodes of a split's ``classes``; its mode is restored afterwards."""
    system = NetworkSystem(network, experiment, store, maker, phase, seed)
    was_training = network.training
    network.eval()
    try:
        return evaluate_system(
            system, experiment, store.index, classes, phase, seed=seed, tasks=tasks, progress=progress
        )
    finally:
        network.train(was_training)


def evaluate_system(
    system: System,
    experiment: ExperimentConfig,
    index: ClipIndex,
    classes: Sequence[str],
    phase: Phase,
    *,
    seed: int,
    tasks: int,
    progress: Progress = silent,
) -> TaskScores:
    """Evaluate any system on the tasks of ``phase``, which depend on ``seed`` and ``phase`` only.

    In testing a clip's answer is the vote over its rows (segments, with ``multi_segm``, and views); in validation
    every row counts by itself, and a clip's first row is its answer.
    """
    way, shot, n_query = experiment.way(phase), experiment.shot(phase), experiment.query(phase)
    apart = experiment.disjoint_groups
    sampler = EpisodeSampler(index, classes, way, shot, n_query, seed=seed, phase=phase, disjoint_groups=apart)
    episodes = [sampler.episode(0, task) for task in range(tasks)]
    queries = QuerySegments.of(index, episodes, whole_clips=phase == "test" and experiment.multi_segm)
    support = np.stack([episode.support for episode in episodes])
    parts = []
    with torch.no_grad():
        embeddings = system.embed(np.union1d(support, queries.segments), progress)
        scorer = _Scorer(system, experiment, phase, embeddings)
        # A relation head holds prototype and query side by side.
        width = embeddings.rows.shape[3] * (2 * way if experiment.relation_head else way + 1)
        chunk = max(1, TASK_BUDGET // (queries.segments[0].size * embeddings.rows.shape[2] * width))
        for start in range(0, tasks, chunk):
            part = slice(start, min(start + chunk, tasks))
            draws = [
                _choose_draws(embeddings, seed, phase, task, way, shot, n_query)
                for task in range(part.start, part.stop)
            ]
            support_draws, query_draws = (np.stack(chosen) for chosen in zip(*draws, strict=True))
            parts.append(scorer.score(support[part], support_draws, queries[part], query_draws))
    scored = _Scores(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    labels = np.stack([episode.classes for episode in episodes])
    answers = Answers(
        clip=np.stack([episode.query_clips for episode in episodes]),
        truth=np.repeat(labels[..., None], n_query, axis=-1),
        answer=np.take_along_axis(labels, scored.answer.reshape(tasks, -1), axis=1).reshape(scored.answer.shape),
        probability=scored.probability,
    )
    return TaskScores(scored.accuracy, scored.loss, answers)


def centre_embeddings(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    classes: Sequence[str],
    *,
    seed: int,
) -> None:
    """Where the network centres embeddings, set the centre: the mean over the training ``classes``, in eval mode.

    Every class weighs the same; of each at most CENTRE_CLIPS clips are embedded, evenly spaced, one segment of each.
    Views are those of validation.
    """
    if network.centre is None:
        return
    clips = [store.index.by_class[name] for name in classes]
    some = [of_class[:: -(-len(of_class) // CENTRE_CLIPS)] for of_class in clips]
    segments = [store.index.offsets[of_class] for of_class in some]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            wanted = np.unique(np.concatenate(segments))
            embeddings = embed_segments(network, experiment, store, maker, wanted, "validation", seed=seed)
            first = np.zeros((), np.int64)
            means = [embeddings.take(of_class, first).flatten(0, -2).mean(0) for of_class in segments]
            network.centre.copy_(torch.stack(means).mean(0))
    finally:
        network.train(was_training)


@dataclass(frozen=True)
class QuerySegments:
    """Segments by which query clips are judged: (tasks, way, n_query, longest), with ``present`` false on padding."""

    segments: Indices
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, index: ClipIndex, episodes: Sequence[Episode], *, whole_clips: bool) -> "QuerySegments":
        """All segments of each query clip, or the one that the episode drew."""
        if not whole_clips:
            segments = np.stack([episode.query for episode in episodes])[..., None]
            return cls(segments, np.ones(segments.shape, bool))
        clips = np.stack([episode.query_clips for episode in episodes])
        first, count = index.offsets[clips][..., None], np.diff(index.offsets)[clips][..., None]
        step = np.arange(count.max())
        return cls(first + np.minimum(step, count - 1), step < count)

    def __getitem__(self, tasks: slice) -> "QuerySegments":
        return QuerySegments(self.segments[tasks], self.present[tasks])


def _choose_draws(
    embeddings: Embeddings, seed: int, phase: Phase, task: int, way: int, shot: int, n_query: int
) -> tuple[Indices, Indices]:
    """Which draw of its views each support item (way, shot) and query item (way, n_query) of a task shows."""
    draws = embeddings.rows.shape[1]
    if draws == 1:
        return np.zeros((way, shot), np.int64), np.zeros((way, n_query), np.int64)
    random = numpy_generator(seed, phase, 0, task, Purpose.DRAW)
    return random.integers(draws, size=(way, shot)), random.integers(draws, size=(way, n_query))


class _Scores(NamedTuple):
    """Of each task (tasks,) its accuracy and loss; of each query (tasks, way, n_query) its label and probability."""

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    answer: Indices
    probability: NDArray[np.float32]


@dataclass(frozen=True)
class _Scorer:
    system: System
    experiment: ExperimentConfig
    phase: Phase
    embeddings: Embeddings

    def score(self, support: Indices, support_draws: Indices, query: QuerySegments, query_draws: Indices) -> _Scores:
        """Score a chunk of tasks. Shape: support (tasks, way, shot), draws alike, query_draws (tasks, way, n_query)."""
        support_rows = self.embeddings.take(support, support_draws).flatten(2, 3)  # (tasks, way, rows, width)
        rows = self.embeddings.take(
            query.segments, query_draws[..., None]
        )  # (tasks, way, n_query, longest, rows, width)
        tasks, way, n_query = rows.shape[:3]
        scores = self.system.scores(support_rows, rows.flatten(1, 4)).view(tasks, way, n_query, -1, way)
        present = torch.from_numpy(query.present).to(scores.device)
        valid = present.unsqueeze(-1).expand(*present.shape, rows.shape[-2]).flatten(3)  # (tasks, way, n_query, rows)
        labels = torch.arange(way, device=scores.device).view(1, way, 1)
        if self.phase == "test":
            answer = vote(scores, valid, self.experiment.tie_strategy)
            right = answer == labels
        else:
            ballots = scores.argmax(-1)
            answer, right = ballots[..., 0], ballots == labels.unsqueeze(-1)
        weight = valid / valid.sum(-1, keepdim=True)
        posterior = (scores.softmax(-1) * weight.unsqueeze(-1)).sum(-2)
        probability = posterior.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
        accuracy = right.double().flatten(1).mean(1)
        loss = _row_losses(scores, labels.unsqueeze(-1), relation=self.experiment.relation_head)
        loss = (loss * valid).double().flatten(1).sum(1) / valid.flatten(1).sum(1)
        return _Scores(*(value.cpu().numpy() for value in (accuracy, loss, answer, probability)))


def _row_losses(scores: Tensor, labels: Tensor, *, relation: bool) -> Tensor:
    """Loss of each row, as in training. Shape: scores (..., way), labels broadcast to (...) -> (...)."""
    labels = labels.expand(scores.shape[:-1]).unsqueeze(-1)
    if relation:
        return (scores - torch.zeros_like(scores).scatter(-1, labels, 1)).square().mean(-1)
    return scores.logsumexp(-1) - scores.gather(-1, labels).squeeze(-1)
