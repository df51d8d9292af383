"""Validation and testing by the field's protocol: thousands of tasks as index arithmetic on embeddings."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.adapted_tasks import adapted_scores
from fewshot_audio.engine.system import NetworkSystem, System, evaluating
from fewshot_audio.engine.task_batches import ScoredTasks, TaskBatch, fresh_batches, pooled_batches
from fewshot_audio.engine.tasks import PlannedTasks, TaskProtocol, plan_tasks
from fewshot_audio.functional.vote import vote
from fewshot_audio.progress import Progress, silent


class Answers(NamedTuple):
    """The answer to every query.

    Attributes:
        clip: index of the query's clip.
        truth: number of its class in the split.
        answer: number of the class that was answered.
        probability: of that class: the mean over the clip's rows of the softmax of their scores.

    Shape:
        Each (tasks, way, n_query).
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


def evaluate_network(
    system: NetworkSystem, protocol: TaskProtocol, *, fresh_views: bool = False, progress: Progress = silent
) -> TaskScores:
    """Evaluate a network on the tasks of ``protocol``; its mode is restored afterwards.

    Args:
        system: the network, its data, and how it is tested.
        protocol: the tasks; their classes are those of the phase's split.
        fresh_views: draw new views for every item of every task and embed them, instead of taking one draw at random
            from a pool per segment that is embedded once. The same in expectation, and much slower.
        progress: called after every batch.
    """
    planned = plan_tasks(system.data.store.index, system.data.splits[protocol.phase], protocol)
    batches = fresh_batches if fresh_views and system.n_views > 1 else pooled_batches
    with evaluating(system.network):
        adaptation = system.network.adaptation
        if adaptation is not None:
            return judge_tasks(planned, adapted_scores(system, adaptation, planned, progress))
        return score_tasks(system, planned, batches(system, planned, progress))


def evaluate_system(system: System, planned: PlannedTasks, *, progress: Progress = silent) -> TaskScores:
    """Evaluate any system on planned tasks; a network in it is in evaluation mode, as ``open_test`` leaves it."""
    return score_tasks(system, planned, pooled_batches(system, planned, progress))


def score_tasks(system: System, planned: PlannedTasks, batches: Iterable[TaskBatch]) -> TaskScores:
    """Score all tasks by the embeddings of their items, batch by batch."""
    return judge_tasks(planned, (score_batch(system, batch) for batch in batches), relation=system.relation)


def judge_tasks(planned: PlannedTasks, scored: Iterable[ScoredTasks], *, relation: bool = False) -> TaskScores:
    """Accuracy, loss and answers of tasks whose queries are scored, batch by batch.

    In testing a clip's answer is the vote over its rows: those of its views and, with ``whole_clips``, of all its
    segments. In validation every row counts by itself, and a clip's first row is its answer.
    """
    with torch.no_grad():
        parts = [_judge(planned.protocol, *batch, relation=relation) for batch in scored]
    scores = _Scores(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    n_tasks, _, n_query = planned.clips.shape
    labels = np.take_along_axis(planned.classes, scores.answer.reshape(n_tasks, -1), axis=1)
    answers = Answers(
        clip=planned.clips,
        truth=np.repeat(planned.classes[..., None], n_query, axis=-1),
        answer=labels.reshape(scores.answer.shape),
        probability=scores.probability,
    )
    return TaskScores(scores.accuracy, scores.loss, answers)


def score_batch(system: System, batch: TaskBatch) -> ScoredTasks:
    """Score the queries of a batch of tasks by the embeddings of their items."""
    embeddings, query = batch.embeddings, batch.query
    support_rows = embeddings.take(batch.support, batch.support_draws).flatten(2, 3)  # (tasks, way, rows, width)
    rows = embeddings.take(query.segments, batch.query_draws[..., None])  # (tasks, way, n_query, longest, rows, width)
    tasks, way, n_query = rows.shape[:3]
    scores = system.scores(support_rows, rows.flatten(1, 4)).view(tasks, way, n_query, -1, way)
    present = torch.from_numpy(query.present).to(scores.device)
    return ScoredTasks(scores, present.unsqueeze(-1).expand(*present.shape, rows.shape[-2]).flatten(3))


class _Scores(NamedTuple):
    """Accuracy and loss of each task, (tasks,); label and probability of each query, (tasks, way, n_query)."""

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    answer: Indices
    probability: NDArray[np.float32]


def _judge(protocol: TaskProtocol, scores: Tensor, valid: Tensor, *, relation: bool) -> _Scores:
    way = scores.shape[-1]
    labels = torch.arange(way, device=scores.device).view(1, way, 1)
    if protocol.phase == "test":
        answer = vote(scores, valid, protocol.tie_strategy)
        correct = answer == labels
    else:
        row_answers = scores.argmax(-1)
        answer, correct = row_answers[..., 0], row_answers == labels.unsqueeze(-1)
    weight = valid / valid.sum(-1, keepdim=True)
    posterior = (scores.softmax(-1) * weight.unsqueeze(-1)).sum(-2)
    probability = posterior.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    accuracy = correct.double().flatten(1).mean(1)
    loss = _row_losses(scores, labels.unsqueeze(-1), relation=relation)
    loss = (loss * valid).double().flatten(1).sum(1) / valid.flatten(1).sum(1)
    return _Scores(*(value.cpu().numpy() for value in (accuracy, loss, answer, probability)))


def _row_losses(scores: Tensor, labels: Tensor, *, relation: bool) -> Tensor:
    """Loss of each row, as in training. Shape: scores (..., way), labels broadcast to (...) -> (...)."""
    labels = labels.expand(scores.shape[:-1]).unsqueeze(-1)
    if relation:
        return (scores - torch.zeros_like(scores).scatter(-1, labels, 1)).square().mean(-1)
    return scores.logsumexp(-1) - scores.gather(-1, labels).squeeze(-1)
