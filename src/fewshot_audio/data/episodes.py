"""Episodes as indices only: a pure function of (seed, phase, epoch, task)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.config.experiment import JointSampling, Phase
from fewshot_audio.data.clip_index import ClipIndex, Indices
from fewshot_audio.data.disjoint_groups import DisjointDraw
from fewshot_audio.errors import DataError
from fewshot_audio.functional.seeding import Purpose, numpy_generator


@dataclass(frozen=True)
class Episode:
    """One task. All arrays hold int64 indices; the label of a row is its number within the episode.

    Attributes:
        classes: the episode's classes as positions in the split, in ascending order. Shape: (n_way,).
        support: one segment of each support clip. Shape: (n_way, n_shot).
        query: one segment of each query clip. Shape: (n_way, n_query).
        query_clips: the clips that the query segments come from. Shape: (n_way, n_query).
    """

    classes: Indices
    support: Indices
    query: Indices
    query_clips: Indices


class Episodes:
    """All episodes of one phase, each drawn by number from the classes of the phase's split.

    Support and query of an episode never share a clip; every item is one random segment of its clip. The caller must
    have checked that there are enough classes and clips (``config.check_classes``) and source recordings
    (``disjoint_groups.check_groups``).

    Args:
        index: the clips of the store.
        classes: the classes of the split.
        n_way: classes of an episode.
        n_shot: support clips of each class.
        n_query: query clips of each class.
        seed: determines an episode together with the phase, the epoch and the number of the task.
        phase: train, validation or test.
        disjoint_groups: whether support and query share no source recording either, if the index has them.
        joint_sampling: if several datasets are joined, "within" draws the classes of an episode from one of them,
            each dataset being equally likely; "free" draws them from all (within-dataset and free-dataset sampling of
            Heggan et al. 2022).
    """

    def __init__(
        self,
        index: ClipIndex,
        classes: Sequence[str],
        n_way: int,
        n_shot: int,
        n_query: int,
        *,
        seed: int,
        phase: Phase,
        disjoint_groups: bool = False,
        joint_sampling: JointSampling = "within",
    ) -> None:
        self._classes = classes
        self._clips = [index.by_class[name] for name in classes]
        self._offsets = index.offsets
        self._n_way, self._n_shot, self._n_query = n_way, n_shot, n_query
        self._seed, self._phase = seed, phase
        self._groups = index.groups if disjoint_groups else None
        position = {name: number for number, name in enumerate(classes)}
        pools = index.pools(classes, joint_sampling).values()
        self._pools = [np.array([position[name] for name in pool], dtype=np.int64) for pool in pools]

    def episode(self, epoch: int, task: int) -> Episode:
        """Draw the episode of a task."""
        random = numpy_generator(self._seed, self._phase, epoch, task, Purpose.EPISODE)
        pool = self._pools[random.integers(len(self._pools))] if len(self._pools) > 1 else self._pools[0]
        classes = np.sort(random.choice(pool, self._n_way, replace=False))
        if self._groups is None:
            per_class = self._n_shot + self._n_query
            clips = np.stack([random.choice(self._clips[c], per_class, replace=False) for c in classes])
        else:
            clips = self._disjoint_clips(random, classes, self._groups)
        first = self._offsets[clips]
        segments = first + random.integers(self._offsets[clips + 1] - first)
        return Episode(
            classes=classes,
            support=segments[:, : self._n_shot],
            query=segments[:, self._n_shot :],
            query_clips=clips[:, self._n_shot :],
        )

    def _disjoint_clips(self, random: np.random.Generator, classes: Indices, groups: Indices) -> Indices:
        """Draw clips (n_way, n_shot + n_query) whose support and query share no group.

        Raises:
            DataError: recordings that span classes leave no choice.
        """
        draw = DisjointDraw(groups, self._n_shot, self._n_query)
        rows = []
        for c in classes:
            row = draw.draw_class(random, self._clips[c])
            if row is None:
                raise DataError(
                    f"disjoint_groups: class {self._classes[c]!r} shares so many source recordings with other classes "
                    f"of a {self._phase} episode that its {self._n_shot} support and {self._n_query} query clips "
                    "cannot be kept apart; ask for fewer, or set disjoint_groups=false"
                )
            rows.append(row)
        return np.stack(rows)
