"""Tests in which support and queries were recorded under other conditions; each is made of the waveform.

Every segment is embedded once in each condition. A task then takes the embedding of a condition as it takes a draw of
views elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.audio.degrade import Degradation, degrade, mix
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.evaluate import score_tasks
from fewshot_audio.engine.stress import Accuracies
from fewshot_audio.engine.system import ENCODE_BATCH, Embeddings, NetworkSystem, evaluating
from fewshot_audio.engine.task_batches import TASK_BUDGET, TaskBatch
from fewshot_audio.engine.tasks import PlannedTasks
from fewshot_audio.functional.seeding import Purpose, numpy_generator
from fewshot_audio.progress import Progress, silent

Condition: TypeAlias = Callable[[Tensor, Indices], Tensor]
"""Changes the waveforms (n, samples) of store indices (n,)."""


def clean(waveforms: Tensor, _: Indices) -> Tensor:
    """The waveforms as they are."""
    return waveforms


def degraded(name: Degradation, rate: int) -> Condition:
    """A degradation of ``audio.degrade`` as a condition; ``rate`` in Hz."""
    return lambda waveforms, _: degrade(waveforms, name, rate)


def over_background(system: NetworkSystem, class_name: str, snr_db: float) -> Condition:
    """Segments over a background: each over the first segment of a random clip of a class, always the same.

    Args:
        system: whose store holds waveforms.
        class_name: the training class.
        snr_db: ratio of the mean powers of segment and background, dB.
    """
    index, seed = system.data.store.index, system.seed
    clips = index.by_class[class_name]

    def condition(waveforms: Tensor, segments: Indices) -> Tensor:
        chosen = [
            clips[numpy_generator(seed, "test", 2, int(segment), Purpose.DRAW).integers(len(clips))]
            for segment in segments
        ]
        background = system.data.fetch(index.offsets[np.array(chosen)], waveforms.device)
        return mix(waveforms, background, snr_db)

    return condition


def embed_conditions(
    system: NetworkSystem, planned: PlannedTasks, conditions: Sequence[Condition], progress: Progress = silent
) -> Embeddings:
    """Embed all segments of the tasks in each condition, which takes the place of a draw of views.

    Args:
        system: a network without test-time views, whose store holds waveforms.
        planned: the tasks.
        conditions: one or more.
        progress: called after every batch.
    """
    network, segments = system.network, np.union1d(planned.support, planned.queries.segments)
    parts = []
    with evaluating(network):
        for start in range(0, len(segments), ENCODE_BATCH):
            part = segments[start : start + ENCODE_BATCH]
            raw = system.data.fetch(part, network.norm_mean.device)
            views = [system.data.views.plain(network, condition(raw, part)) for condition in conditions]
            parts.append(torch.stack([network.embed(view) for view in views], dim=1))
            progress("embedding", start + len(part), len(segments))
    return Embeddings(segments, torch.cat(parts))


def condition_test(
    system: NetworkSystem, planned: PlannedTasks, embeddings: Embeddings, support: Indices, query: Indices
) -> Accuracies:
    """Accuracy of each task, (tasks,), if its classes were recorded under given conditions.

    Args:
        system: the network.
        planned: the tasks.
        embeddings: of ``embed_conditions``.
        support: number of the condition of each class's support clips.
        query: number of the condition of each class's query clips.

    Shape:
        support, query: (tasks, way).
    """
    n_tasks, way = planned.support.shape[:2]
    batch = max(1, TASK_BUDGET // (planned.queries.segments[0].size * embeddings.rows.shape[-1] * (way + 1) * 2))

    def spread(conditions: Indices, items: int) -> Indices:
        return np.repeat(conditions[..., None], items, axis=-1)

    support_draws, query_draws = spread(support, planned.support.shape[2]), spread(query, planned.clips.shape[2])
    parts = [slice(start, min(start + batch, n_tasks)) for start in range(0, n_tasks, batch)]
    batches = (
        TaskBatch(embeddings, planned.support[part], support_draws[part], planned.queries[part], query_draws[part])
        for part in parts
    )
    with evaluating(system.network):
        return score_tasks(system, planned, batches).accuracy


def task_backgrounds(n_tasks: int, way: int) -> Indices:
    """Number of the background of each class of each task, from 0; each class of a task has another one.

    Shape:
        (tasks, way).
    """
    return (np.arange(way) + np.arange(n_tasks)[:, None]) % way
