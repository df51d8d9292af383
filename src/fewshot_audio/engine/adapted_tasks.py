"""Training and testing of networks that adapt to each task (``models.adaptation``), from raw segments to scores.

Tasks are adapted one by one: torch's vmap does not batch recurrent layers over weights of their own, and convolutions
become grouped ones, slower on a CPU than one after another (benchmarks/algorithms.py).
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.engine.episode_loss import EpisodeResult
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.task_batches import ScoredTasks
from fewshot_audio.engine.tasks import PlannedTasks
from fewshot_audio.models.adaptation import TaskAdaptation, score_adapted, task_statistics
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent


def adapted_episode_loss(
    network: FewShotNetwork, adaptation: TaskAdaptation, support: Tensor, query: Tensor, label_smoothing: float = 0.0
) -> EpisodeResult:
    """The loss of the queries after adaptation to the support; batch norm sees one of the two at a time.

    Args:
        network: in training mode.
        adaptation: that of the network.
        support: normalized segments.
        query: normalized segments.
        label_smoothing: of the queries' targets; the steps on the support are without.

    Shape: support (way, shot, 1, mels, frames), query (way, n_query, 1, mels, frames).
    """
    scores = _adapt_and_score(network, adaptation, support.flatten(1, 2), query.flatten(0, 2))
    labels = torch.arange(len(query), device=scores.device).repeat_interleave(query.shape[1])
    accuracy = (scores.argmax(-1) == labels).float().mean()
    zero = torch.zeros((), device=scores.device)
    return EpisodeResult(F.cross_entropy(scores, labels, label_smoothing=label_smoothing), accuracy, zero, zero)


def adapted_scores(
    system: NetworkSystem, adaptation: TaskAdaptation, planned: PlannedTasks, progress: Progress = silent
) -> Iterator[ScoredTasks]:
    """Adapt the network to each task and score its queries, task by task.

    Batch norm normalizes all query segments of a task together, as published, so that the answer to a query depends on
    the other queries of its task.
    """
    network, data = system.network, system.data
    n_tasks, way = planned.support.shape[:2]
    for task in range(n_tasks):
        present = planned.queries.present[task]
        items = np.concatenate([planned.support[task].ravel(), planned.queries.segments[task][present]])
        raw = data.fetch(items, network.norm_mean.device)
        segments = data.views.plain(network, raw).flatten(0, 1)
        n_support = planned.support[task].size
        support = segments[:n_support].view(way, -1, *segments.shape[1:])
        rows = _adapt_and_score(network, adaptation, support, segments[n_support:])
        valid = torch.from_numpy(present).to(rows.device)
        scores = rows.new_zeros(*present.shape, way)
        scores[valid] = rows
        yield ScoredTasks(scores[None], valid[None])
        progress("testing", task + 1, n_tasks)


def _adapt_and_score(network: FewShotNetwork, adaptation: TaskAdaptation, support: Tensor, queries: Tensor) -> Tensor:
    """Shape: support (way, rows, mels, frames), queries (n, mels, frames) -> (n, way)."""
    labels = torch.arange(len(support), device=support.device).repeat_interleave(support.shape[1])
    with task_statistics(network.encoder):
        weights = adaptation(network.encoder, support.flatten(0, 1), labels)
        return score_adapted(network.encoder, weights, queries)
