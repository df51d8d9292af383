"""Which segments belong to which clip, and which clips to which class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config.experiment import JointSampling

Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class ClipIndex:
    """The segments, class, source recording and dataset of every clip of a store.

    Attributes:
        offsets: clip ``c`` owns segments ``offsets[c]`` to ``offsets[c + 1]`` (exclusive). Shape: (clips + 1,).
        by_class: the clips of each class.
        groups: ``groups[c]`` numbers the source recording that clip ``c`` was cut from; a clip of unknown origin has a
            number of its own. Shape: (clips,).
        datasets: the dataset of each class, if several datasets are joined.
    """

    offsets: Indices
    by_class: dict[str, Indices]
    groups: Indices | None = None
    datasets: dict[str, str] | None = None

    def segments(self, clip: int) -> range:
        """Return the indices of a clip's segments."""
        return range(int(self.offsets[clip]), int(self.offsets[clip + 1]))

    def pools(self, classes: Sequence[str], joint_sampling: JointSampling) -> dict[str, list[str]]:
        """Divide ``classes`` into pools; all classes of an episode are drawn from one pool.

        With "within" every joined dataset has its own pool; with "free" one pool, with an empty name, has all classes.
        """
        if self.datasets is None or joint_sampling == "free" or not classes:
            return {"": list(classes)}
        pools: dict[str, list[str]] = {}
        for name in classes:
            pools.setdefault(self.datasets[name], []).append(name)
        return pools
