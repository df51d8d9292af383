"""Validation and testing by the field's protocol: thousands of tasks as index arithmetic on embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.embeddings import Embeddings, embed_fresh, embed_originals, embed_segments
from fewshot_audio.episodes import ClipIndex, Episode, EpisodeSampler, Indices
from fewshot_audio.learners import prototypes
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.randomness import Purpose, numpy_generator, torch_generator
from fewshot_audio.views import ViewMaker
from fewshot_audio.vote import vote

TASK_BUDGET = 2**24  # numbers held at once while a chunk of tasks is scored


class TaskScores(NamedTuple):
    """Accuracy and loss of each task, float64 (tasks,)."""

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]


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

    Tasks depend on ``seed`` and ``phase`` only. In testing a clip's answer is the vote over its rows (segments, with
    ``multi_segm``, and views); in validation every row counts by itself. Views come from a pool of ``DRAWS`` per
    segment, each embedded once, of which every item of every task takes one at random; with ``fresh_views`` every item
    of every task has views of its own, which are embedded for it: the same in expectation, and much slower.
    """
    way, shot, n_query = experiment.way(phase), experiment.shot(phase), experiment.query(phase)
    apart = experiment.disjoint_groups
    sampler = EpisodeSampler(store.index, classes, way, shot, n_query, seed=seed, phase=phase, disjoint_groups=apart)
    episodes = [sampler.episode(0, task) for task in range(tasks)]
    queries = QuerySegments.of(store.index, episodes, whole_clips=phase == "test" and experiment.multi_segm)
    support = np.stack([episode.support for episode in episodes])
    segments = np.union1d(support, queries.segments)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            if fresh_views and experiment.query_views(phase) > 1:
                fresh = _FreshViews(network, experiment, store, maker, segments, phase, seed)
                return fresh.score(support, queries, progress)
            embeddings = embed_segments(
                network, experiment, store, maker, segments, phase, seed=seed, progress=progress
            )
            scorer = _Scorer(network, experiment, phase, embeddings)
            rows = queries.segments[0].size * embeddings.rows.shape[2]
            chunk = max(
                1, TASK_BUDGET // (rows * embeddings.rows.shape[3] * (2 * way if network.relation else way + 1))
            )
            parts = []
            for start in range(0, tasks, chunk):
                part = slice(start, min(start + chunk, tasks))
                draws = [
                    _choose_draws(embeddings, seed, phase, task, way, shot, n_query)
                    for task in range(part.start, part.stop)
                ]
                support_draws, query_draws = (np.stack(chosen) for chosen in zip(*draws, strict=True))
                parts.append(scorer.score(support[part], support_draws, queries[part], query_draws))
    finally:
        network.train(was_training)
    return TaskScores(*(np.concatenate(values) for values in zip(*parts, strict=True)))


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


class _FreshViews:
    """Scores task by task, so that memory is bounded by one task's items."""

    def __init__(
        self,
        network: FewShotNetwork,
        experiment: ExperimentConfig,
        store: SegmentStore,
        maker: ViewMaker,
        segments: Indices,
        phase: Phase,
        seed: int,
    ) -> None:
        self._network, self._experiment, self._phase, self._seed = network, experiment, phase, seed
        self._store, self._maker = store, maker
        self._originals = embed_originals(network, experiment, store, maker, segments)

    def score(self, support: Indices, queries: QuerySegments, progress: Progress) -> TaskScores:
        """Score all tasks. Shape: support (tasks, way, shot)."""
        parts = []
        for task in range(len(support)):
            parts.append(self._task(task, support[task : task + 1], queries[task : task + 1]))
            progress("testing", task + 1, len(support))
        return TaskScores(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _task(self, task: int, support: Indices, query: QuerySegments) -> TaskScores:
        items = np.concatenate([support.ravel(), query.segments[query.present]])
        # Epoch 1 of the stream: epoch 0 belongs to the pool's draws.
        generator = torch_generator(self._seed, self._phase, 1, task, Purpose.VIEWS)
        embeddings = embed_fresh(
            self._network, self._experiment, self._store, self._maker, self._originals, items, generator
        )
        numbers = np.arange(len(items))
        shown = np.zeros_like(query.segments)  # padding shows any item
        shown[query.present] = numbers[support.size :]
        scorer = _Scorer(self._network, self._experiment, self._phase, embeddings)
        own = numbers[: support.size].reshape(support.shape)
        no_choice = np.zeros_like(support), np.zeros(query.segments.shape[:3], np.int64)
        return scorer.score(own, no_choice[0], QuerySegments(shown, query.present), no_choice[1])


@dataclass(frozen=True)
class _Scorer:
    network: FewShotNetwork
    experiment: ExperimentConfig
    phase: Phase
    embeddings: Embeddings

    def score(self, support: Indices, support_draws: Indices, query: QuerySegments, query_draws: Indices) -> TaskScores:
        """Score a chunk of tasks. Shape: support (tasks, way, shot), draws alike, query_draws (tasks, way, n_query)."""
        centres = prototypes(self.embeddings.take(support, support_draws).flatten(2, 3))  # (tasks, way, width)
        rows = self.embeddings.take(
            query.segments, query_draws[..., None]
        )  # (tasks, way, n_query, longest, rows, width)
        tasks, way, n_query = rows.shape[:3]
        scores = self.network.score(centres, rows.flatten(1, 4)).view(tasks, way, n_query, -1, way)
        present = torch.from_numpy(query.present).to(scores.device)
        valid = present.unsqueeze(-1).expand(*present.shape, rows.shape[-2]).flatten(3)  # (tasks, way, n_query, rows)
        labels = torch.arange(way, device=scores.device).view(1, way, 1)
        if self.phase == "test":
            right = vote(scores, valid, self.experiment.tie_strategy) == labels
        else:
            right = scores.argmax(-1) == labels.unsqueeze(-1)
        accuracy = right.double().flatten(1).mean(1)
        loss = _row_losses(scores, labels.unsqueeze(-1), relation=self.network.relation is not None)
        loss = (loss * valid).double().flatten(1).sum(1) / valid.flatten(1).sum(1)
        return TaskScores(accuracy.cpu().numpy(), loss.cpu().numpy())


def _row_losses(scores: Tensor, labels: Tensor, *, relation: bool) -> Tensor:
    """Loss of each row, as in training. Shape: scores (..., way), labels broadcast to (...) -> (...)."""
    labels = labels.expand(scores.shape[:-1]).unsqueeze(-1)
    if relation:
        return (scores - torch.zeros_like(scores).scatter(-1, labels, 1)).square().mean(-1)
    return scores.logsumexp(-1) - scores.gather(-1, labels).squeeze(-1)
