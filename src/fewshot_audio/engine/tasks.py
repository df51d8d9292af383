"""The tasks that a system is tested on: a pure function of the protocol (with its seed) and the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.config.experiment import JointSampling, TieStrategy
from fewshot_audio.data.clip_index import ClipIndex, Indices
from fewshot_audio.data.episodes import Episode, Episodes


@dataclass(frozen=True)
class TaskProtocol:
    """How the tasks of a phase are drawn and scored.

    Attributes:
        phase: "validation" or "test": the split whose classes the tasks are made of, and the random stream.
        seed: with the phase, decides every task.
        n_tasks: number of tasks.
        n_way: classes of a task.
        n_shot: support clips per class.
        n_query: query clips per class.
        disjoint_groups: support and query share no source recording.
        joint_sampling: whether a task may mix the classes of joined datasets.
        whole_clips: a query is all segments of its clip instead of one at random.
        tie_strategy: how ties of the vote over a clip's rows are broken.
    """

    phase: Phase
    seed: int
    n_tasks: int
    n_way: int
    n_shot: int
    n_query: int
    disjoint_groups: bool = False
    joint_sampling: JointSampling = "within"
    whole_clips: bool = False
    tie_strategy: TieStrategy = ""

    @classmethod
    def validation(cls, experiment: ExperimentConfig, seed: int) -> Self:
        """The validation tasks of a run with this seed, the same every epoch."""
        return cls._of(experiment, "validation", seed, experiment.validation_tasks, whole_clips=False)

    @classmethod
    def test(cls, experiment: ExperimentConfig) -> Self:
        """The experiment's test tasks, the same for all runs."""
        return cls._of(
            experiment, "test", experiment.test_seed, experiment.n_testing_tasks, whole_clips=experiment.multi_segm
        )

    @classmethod
    def _of(cls, experiment: ExperimentConfig, phase: Phase, seed: int, n_tasks: int, *, whole_clips: bool) -> Self:
        return cls(
            phase=phase,
            seed=seed,
            n_tasks=n_tasks,
            n_way=experiment.way(phase),
            n_shot=experiment.shot(phase),
            n_query=experiment.query(phase),
            disjoint_groups=experiment.disjoint_groups,
            joint_sampling=experiment.joint_sampling,
            whole_clips=whole_clips,
            tie_strategy=experiment.tie_strategy,
        )


@dataclass(frozen=True)
class QuerySegments:
    """The segments of query clips, (tasks, way, n_query, longest); ``present`` is false on padding."""

    segments: Indices
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, index: ClipIndex, episodes: Sequence[Episode], *, whole_clips: bool) -> Self:
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


class PlannedTasks(NamedTuple):
    """The tasks of a protocol, as indices.

    Attributes:
        protocol: how they were drawn.
        classes: numbers of the classes in the split, (tasks, way).
        support: the support segments, (tasks, way, shot).
        queries: the segments of the query clips.
        clips: the query clips, (tasks, way, n_query).
    """

    protocol: TaskProtocol
    classes: Indices
    support: Indices
    queries: QuerySegments
    clips: Indices


def plan_tasks(index: ClipIndex, classes: Sequence[str], protocol: TaskProtocol) -> PlannedTasks:
    """Draw the tasks of ``protocol`` from the ``classes`` of its split."""
    sampler = Episodes(
        index,
        classes,
        protocol.n_way,
        protocol.n_shot,
        protocol.n_query,
        seed=protocol.seed,
        phase=protocol.phase,
        disjoint_groups=protocol.disjoint_groups,
        joint_sampling=protocol.joint_sampling,
    )
    episodes = [sampler.episode(0, task) for task in range(protocol.n_tasks)]
    return PlannedTasks(
        protocol=protocol,
        classes=np.stack([episode.classes for episode in episodes]),
        support=np.stack([episode.support for episode in episodes]),
        queries=QuerySegments.of(index, episodes, whole_clips=protocol.whole_clips),
        clips=np.stack([episode.query_clips for episode in episodes]),
    )
