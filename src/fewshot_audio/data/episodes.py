"""Episodes as indices only: a pure function of (seed, phase, epoch, task)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config.experiment import JointSampling, Phase
from fewshot_audio.data.disjoint_groups import Apart
from fewshot_audio.errors import DataError
from fewshot_audio.functional.seeding import Purpose, numpy_generator

Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class ClipIndex:
    """Which segments belong to which clip, and which clips to which class.

    Clip ``c`` owns segments ``offsets[c]`` to ``offsets[c + 1]`` (exclusive); ``by_class[name]`` lists its clips.
    ``groups[c]`` numbers the source recording that the clip was cut from; a clip of unknown origin is a group itself.
    ``datasets[name]`` is the dataset of a class, where several are joined.
    """

    offsets: Indices
    by_class: dict[str, Indices]
    groups: Indices | None = None
    datasets: dict[str, str] | None = None

    def segments(self, clip: int) -> range:
        """Segments of a clip."""
        return range(int(self.offsets[clip]), int(self.offsets[clip + 1]))

    def pools(self, classes: Sequence[str], joint_sampling: JointSampling) -> dict[str, list[str]]:
        """The classes that an episode of ``classes`` may be drawn from together, by dataset: with "within" those of
        each joined dataset apart, else all (under an empty name).
        """
        if self.datasets is None or joint_sampling == "free" or not classes:
            return {"": list(classes)}
        pools: dict[str, list[str]] = {}
        for name in classes:
            pools.setdefault(self.datasets[name], []).append(name)
        return pools


@dataclass(frozen=True)
class Episode:
    """One task: class c of the split is labeled by its row. All arrays hold int64 indices.

    ``classes`` (way,) into the split; ``support`` (way, shot) and ``query`` (way, n_query) segments;
    ``query_clips`` (way, n_query) the clips that the query segments come from.
    """

    classes: Indices
    support: Indices
    query: Indices
    query_clips: Indices


class EpisodeSampler:
    """Draws the episodes of one phase from the classes of its split.

    Of joined datasets an episode has one, each as likely as another, unless ``joint_sampling`` is "free" (Heggan et
    al. 2022 call these within-dataset and free-dataset sampling).
    Support and query of an episode never share a clip, nor with ``disjoint_groups`` a source recording where the index
    knows it; an item is one random segment of its clip. The caller has checked that there are enough classes, clips
    (``config.check_classes``) and recordings (``groups.check_groups``).
    """

    def __init__(
        self,
        index: ClipIndex,
        classes: Sequence[str],
        way: int,
        shot: int,
        query: int,
        *,
        seed: int,
        phase: Phase,
        disjoint_groups: bool = False,
        joint_sampling: JointSampling = "within",
    ) -> None:
        self._names = classes
        self._clips = [index.by_class[name] for name in classes]
        self._offsets = index.offsets
        self._way, self._shot, self._query = way, shot, query
        self._seed, self._phase = seed, phase
        self._groups = index.groups if disjoint_groups else None
        position = {name: number for number, name in enumerate(classes)}
        pools = index.pools(classes, joint_sampling).values()
        self._pools = [np.array([position[name] for name in pool], dtype=np.int64) for pool in pools]

    def episode(self, epoch: int, task: int) -> Episode:
        """Draw the episode of a task."""
        random = numpy_generator(self._seed, self._phase, epoch, task, Purpose.EPISODE)
        pool = self._pools[random.integers(len(self._pools))] if len(self._pools) > 1 else self._pools[0]
        classes = np.sort(random.choice(pool, self._way, replace=False))
        if self._groups is None:
            per_class = self._shot + self._query
            clips = np.stack([random.choice(self._clips[c], per_class, replace=False) for c in classes])
        else:
            clips = self._apart(random, classes, self._groups)
        first = self._offsets[clips]
        segments = first + random.integers(self._offsets[clips + 1] - first)
        return Episode(
            classes=classes,
            support=segments[:, : self._shot],
            query=segments[:, self._shot :],
            query_clips=clips[:, self._shot :],
        )

    def _apart(self, random: np.random.Generator, classes: Indices, groups: Indices) -> Indices:
        """Clips (way, shot + query) whose support and query share no group.

        Raises DataError where recordings that span classes leave no choice.
        """
        apart = Apart(groups, self._shot, self._query)
        rows = []
        for c in classes:
            row = apart.draw(random, self._clips[c])
            if row is None:
                raise DataError(
                    f"disjoint_groups: class {self._names[c]!r} shares so many source recordings with other classes of "
                    f"a {self._phase} episode that its {self._shot} support and {self._query} query clips cannot be "
                    "kept apart; ask for fewer, or set disjoint_groups=false"
                )
            rows.append(row)
        return np.stack(rows)
