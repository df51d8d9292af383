"""Stress tests as index arithmetic on planned tasks: fewer shots, wrong labels, classes that are added over time.

Every variant of a test has the same tasks and the same queries, so that its accuracies may be compared task by task,
and no segment is embedded twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.adapted_tasks import adapted_scores
from fewshot_audio.engine.evaluate import judge_tasks, score_batch
from fewshot_audio.engine.system import Embeddings, NetworkSystem, System, evaluating
from fewshot_audio.engine.task_batches import ScoredTasks, pooled_batches
from fewshot_audio.engine.tasks import PlannedTasks
from fewshot_audio.functional.seeding import Purpose, numpy_generator
from fewshot_audio.functional.vote import vote
from fewshot_audio.progress import Progress, silent

Accuracies: TypeAlias = NDArray[np.float64]
TaskTest: TypeAlias = Callable[[PlannedTasks], Accuracies]
"""Tests tasks and returns the accuracy of each, (tasks,)."""


@dataclass(frozen=True)
class EmbeddedSystem:
    """A system whose segments are embedded already."""

    system: System
    embeddings: Embeddings

    @classmethod
    def of(cls, system: System, planned: PlannedTasks, progress: Progress = silent) -> "EmbeddedSystem":
        """Embed all segments of the tasks; a network in the system is in evaluation mode."""
        with torch.no_grad():
            return cls(system, system.embed(np.union1d(planned.support, planned.queries.segments), progress))

    @property
    def relation(self) -> bool:
        """As of the system."""
        return self.system.relation

    def embed(self, segments: Indices, progress: Progress = silent) -> Embeddings:
        """The embeddings, whichever of their segments are asked for."""
        return self.embeddings

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score as the system does."""
        return self.system.scores(support, queries)


def task_test(system: NetworkSystem, planned: PlannedTasks, progress: Progress = silent) -> TaskTest:
    """How to test a network on variants of planned tasks, of which it embeds all segments at once if it can."""
    adaptation = system.network.adaptation
    if adaptation is not None:

        def adapted(variant: PlannedTasks) -> Accuracies:
            with evaluating(system.network):
                return judge_tasks(variant, adapted_scores(system, adaptation, variant, progress)).accuracy

        return adapted
    with evaluating(system.network):
        embedded = EmbeddedSystem.of(system, planned, progress)

    def test(variant: PlannedTasks) -> Accuracies:
        with torch.no_grad():
            scored = (score_batch(embedded, batch) for batch in pooled_batches(embedded, variant))
            return judge_tasks(variant, scored, relation=embedded.relation).accuracy

    return test


def with_shots(planned: PlannedTasks, shot: int) -> PlannedTasks:
    """The same tasks with the first ``shot`` support clips of each class."""
    return planned._replace(support=planned.support[:, :, :shot], protocol=replace(planned.protocol, n_shot=shot))


def with_wrong_labels(planned: PlannedTasks, share: float) -> PlannedTasks:
    """The same tasks in which a share of each class's support clips are clips of the task's other classes.

    Wrong labels are exchanged among the classes, so that every class keeps its number of clips: in each of the first
    round(share * shots) places, the clip of a class is that of the class a random number of steps further. A larger
    share keeps the wrong labels of a smaller one.
    """
    n_tasks, way, shot = planned.support.shape
    support = planned.support.copy()
    wrong = round(share * shot)
    for task in range(n_tasks):
        random = numpy_generator(planned.protocol.seed, planned.protocol.phase, 0, task, Purpose.LABELS)
        steps = random.integers(1, way, size=(shot,))
        for place in range(wrong):
            support[task, :, place] = np.roll(planned.support[task, :, place], steps[place])
    return planned._replace(support=support)


class Incremental(NamedTuple):
    """What a class-incremental test gave, for each task.

    Attributes:
        sessions: accuracy on the queries of all classes so far, after each session, (tasks, sessions).
        forgetting: how much the accuracy on a session's own classes fell from their session to the last one, the mean
            over all sessions but the last, (tasks,).
    """

    sessions: Accuracies
    forgetting: Accuracies

    @property
    def average(self) -> Accuracies:
        """Mean accuracy over the sessions, (tasks,)."""
        means: Accuracies = self.sessions.mean(1)
        return means

    @property
    def drop(self) -> Accuracies:
        """Accuracy after the first session minus that after the last, (tasks,)."""
        drops: Accuracies = self.sessions[:, 0] - self.sessions[:, -1]
        return drops


def class_incremental(
    system: NetworkSystem, planned: PlannedTasks, per_session: int, progress: Progress = silent
) -> Incremental:
    """Add the classes of each task a session at a time, in random order, and answer among all classes so far.

    Nothing is trained in a session: the new classes' prototypes join the others.

    Args:
        system: a network that scores each class by itself: prototypes, or a relation head.
        planned: tasks of all classes; their number is a multiple of ``per_session``.
        per_session: classes that a session adds.
        progress: called while segments are embedded.
    """
    planned = _in_random_order(planned)
    with evaluating(system.network):
        embedded = EmbeddedSystem.of(system, planned, progress)
        parts = [
            _sessions(score_batch(embedded, batch), planned, per_session) for batch in pooled_batches(embedded, planned)
        ]
    sessions, forgetting = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Incremental(sessions, forgetting)


def _in_random_order(planned: PlannedTasks) -> PlannedTasks:
    """The same tasks, their classes in an order of their own."""
    protocol = planned.protocol
    order = np.stack(
        [
            numpy_generator(protocol.seed, protocol.phase, 0, task, Purpose.LABELS).permutation(protocol.n_way)
            for task in range(protocol.n_tasks)
        ]
    )
    tasks = np.arange(protocol.n_tasks)[:, None]
    queries = replace(
        planned.queries, segments=planned.queries.segments[tasks, order], present=planned.queries.present[tasks, order]
    )
    return planned._replace(
        classes=planned.classes[tasks, order],
        support=planned.support[tasks, order],
        queries=queries,
        clips=planned.clips[tasks, order],
    )


def _sessions(scored: ScoredTasks, planned: PlannedTasks, per_session: int) -> tuple[Accuracies, Accuracies]:
    """Accuracies after each session, and forgetting, of a batch of tasks."""
    way = planned.protocol.n_way
    truth = torch.arange(way, device=scored.scores.device).view(1, way, 1)
    by_class = []  # after each session, the accuracy on each class so far, (tasks, classes)
    for classes in range(per_session, way + 1, per_session):
        answers = vote(
            scored.scores[:, :classes, ..., :classes], scored.valid[:, :classes], planned.protocol.tie_strategy
        )
        by_class.append((answers == truth[:, :classes]).double().mean(-1).cpu().numpy())
    sessions = np.stack([accuracy.mean(1) for accuracy in by_class], axis=1)
    falls = []
    for number, accuracy in enumerate(by_class[:-1]):
        own = slice(number * per_session, (number + 1) * per_session)
        falls.append((accuracy[:, own] - by_class[-1][:, own]).mean(1))
    return sessions, np.stack(falls).mean(0)
