"""Test tasks in chunks, each with the embeddings that its items show: from a pool of views, or of fresh ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.episodes import ClipIndex, Episode, Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.embed import Embeddings, embed_fresh, embed_originals
from fewshot_audio.functional.seeding import Purpose, numpy_generator, torch_generator
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.progress import Progress

TASK_BUDGET = 2**24  # numbers held at once while a chunk of tasks is scored


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


class Chunk(NamedTuple):
    """Some tasks: what their items show is found in ``embeddings``.

    ``support`` and ``support_draws`` (tasks, way, shot), ``query_draws`` (tasks, way, n_query).
    """

    embeddings: Embeddings
    support: Indices
    support_draws: Indices
    query: QuerySegments
    query_draws: Indices


class Embedder(Protocol):
    """Embeds segments, each in all its draws."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments of the store."""


def pooled_chunks(
    embedder: Embedder,
    experiment: ExperimentConfig,
    phase: Phase,
    seed: int,
    support: Indices,
    queries: QuerySegments,
    progress: Progress,
) -> Iterator[Chunk]:
    """Embed every segment once in each of its draws, then give thousands of tasks at a time."""
    embeddings = embedder.embed(np.union1d(support, queries.segments), progress)
    tasks, way, shot = support.shape
    n_query = queries.segments.shape[2]
    # A relation head holds prototype and query side by side.
    width = embeddings.rows.shape[3] * (2 * way if experiment.relation_head else way + 1)
    chunk = max(1, TASK_BUDGET // (queries.segments[0].size * embeddings.rows.shape[2] * width))
    for start in range(0, tasks, chunk):
        part = slice(start, min(start + chunk, tasks))
        draws = [
            _choose_draws(embeddings, seed, phase, task, way, shot, n_query) for task in range(part.start, part.stop)
        ]
        support_draws, query_draws = (np.stack(chosen) for chosen in zip(*draws, strict=True))
        yield Chunk(embeddings, support[part], support_draws, queries[part], query_draws)


def fresh_chunks(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    phase: Phase,
    seed: int,
    support: Indices,
    queries: QuerySegments,
    progress: Progress,
) -> Iterator[Chunk]:
    """Embed every item of every task with views of its own, task by task, so that memory is bounded by one task's."""
    originals = embed_originals(network, experiment, store, maker, np.union1d(support, queries.segments))
    for task in range(len(support)):
        own, query = support[task : task + 1], queries[task : task + 1]
        items = np.concatenate([own.ravel(), query.segments[query.present]])
        # Epoch 1 of the stream: epoch 0 belongs to the pool's draws.
        generator = torch_generator(seed, phase, 1, task, Purpose.VIEWS)
        embeddings = embed_fresh(network, experiment, store, maker, originals, items, generator)
        embeddings = replace(embeddings, rows=network.transform(embeddings.rows))
        numbers = np.arange(len(items))
        shown = np.zeros_like(query.segments)  # padding shows any item
        shown[query.present] = numbers[own.size :]
        no_choice = np.zeros_like(own), np.zeros(query.segments.shape[:3], np.int64)
        shown_query = QuerySegments(shown, query.present)
        yield Chunk(embeddings, numbers[: own.size].reshape(own.shape), no_choice[0], shown_query, no_choice[1])
        progress("testing", task + 1, len(support))
