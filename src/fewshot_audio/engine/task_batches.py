"""Tasks in batches with the embeddings of their items, of views from a pool or of views drawn for each item."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.system import Embeddings, NetworkSystem, System
from fewshot_audio.engine.tasks import PlannedTasks, QuerySegments, TaskProtocol
from fewshot_audio.functional.seeding import Purpose, numpy_generator, torch_generator
from fewshot_audio.progress import Progress, silent

TASK_BUDGET = 2**24  # numbers held at once while a batch of tasks is scored


class ScoredTasks(NamedTuple):
    """Some tasks with the scores of their queries.

    Attributes:
        scores: of each row of each query clip for each class, (tasks, way, n_query, rows, way).
        valid: which rows exist, (tasks, way, n_query, rows).
    """

    scores: Tensor
    valid: Tensor


class TaskBatch(NamedTuple):
    """Some tasks and the embeddings of their items.

    Attributes:
        embeddings: holds every segment and draw below.
        support: the support segments, (tasks, way, shot).
        support_draws: the draw of views of each, (tasks, way, shot).
        query: the segments of the query clips.
        query_draws: the draw of views of each query clip, (tasks, way, n_query).
    """

    embeddings: Embeddings
    support: Indices
    support_draws: Indices
    query: QuerySegments
    query_draws: Indices


def pooled_batches(system: System, planned: PlannedTasks, progress: Progress = silent) -> Iterator[TaskBatch]:
    """Embed every segment once in each of its draws, then yield thousands of tasks at a time."""
    embeddings = system.embed(np.union1d(planned.support, planned.queries.segments), progress)
    n_tasks, n_way = planned.support.shape[:2]
    # A relation head holds prototype and query side by side.
    width = embeddings.rows.shape[3] * (2 * n_way if system.relation else n_way + 1)
    batch = max(1, TASK_BUDGET // (planned.queries.segments[0].size * embeddings.rows.shape[2] * width))
    for start in range(0, n_tasks, batch):
        part = slice(start, min(start + batch, n_tasks))
        draws = [
            _choose_draws(planned.protocol, task, embeddings.rows.shape[1]) for task in range(part.start, part.stop)
        ]
        support_draws, query_draws = (np.stack(choice) for choice in zip(*draws, strict=True))
        yield TaskBatch(embeddings, planned.support[part], support_draws, planned.queries[part], query_draws)


def fresh_batches(system: NetworkSystem, planned: PlannedTasks, progress: Progress = silent) -> Iterator[TaskBatch]:
    """Embed every item of every task with views of its own, task by task, so that one task's embeddings are held."""
    protocol = planned.protocol
    originals = system.encode_originals(np.union1d(planned.support, planned.queries.segments))
    for task in range(protocol.n_tasks):
        own, query = planned.support[task : task + 1], planned.queries[task : task + 1]
        items = np.concatenate([own.ravel(), query.segments[query.present]])
        # Epoch 1 of the stream: epoch 0 belongs to the pool's draws.
        generator = torch_generator(protocol.seed, protocol.phase, 1, task, Purpose.VIEWS)
        embeddings = system.embed_fresh(originals, items, generator)
        support = np.arange(own.size).reshape(own.shape)
        queries = np.zeros_like(query.segments)  # padding may be any item
        queries[query.present] = np.arange(own.size, len(items))
        no_choice = np.zeros(query.segments.shape[:3], np.int64)
        yield TaskBatch(embeddings, support, np.zeros_like(support), QuerySegments(queries, query.present), no_choice)
        progress("testing", task + 1, protocol.n_tasks)


def _choose_draws(protocol: TaskProtocol, task: int, draws: int) -> tuple[Indices, Indices]:
    """Choose the draw of views of each support item (way, shot) and each query item (way, n_query) of a task."""
    support, query = (protocol.n_way, protocol.n_shot), (protocol.n_way, protocol.n_query)
    if draws == 1:
        return np.zeros(support, np.int64), np.zeros(query, np.int64)
    random = numpy_generator(protocol.seed, protocol.phase, 0, task, Purpose.DRAW)
    return random.integers(draws, size=support), random.integers(draws, size=query)
