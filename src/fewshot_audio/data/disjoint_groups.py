"""Support and query of an episode from different source recordings (groups of clips)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError

Indices = NDArray[np.int64]

DRAWS = 50  # clips are drawn at random so often before whole groups are dealt out


class Apart:
    """Draws the classes of ONE episode so that no group is in both its support and its query.

    ``groups`` (clips,) is the group of every clip. A group may span classes, so what earlier classes took counts.
    """

    def __init__(self, groups: Indices, shot: int, query: int) -> None:
        self._groups, self._shot, self._query = groups, shot, query
        self._supporting, self._querying = np.empty(0, np.int64), np.empty(0, np.int64)

    def draw(self, random: np.random.Generator, clips: Indices) -> Indices | None:
        """Draw support and query clips of a class: (shot + query,), or None where no choice keeps them apart."""
        for _ in range(DRAWS):
            order = random.permutation(clips)
            groups = self._groups[order]
            support = order[~np.isin(groups, self._querying)][: self._shot]
            taken = np.concatenate([self._supporting, self._groups[support]])
            query = order[~np.isin(groups, taken)][: self._query]
            if len(support) == self._shot and len(query) == self._query:
                return self._keep(support, query)
        return self._deal(random, clips)

    def _deal(self, random: np.random.Generator, clips: Indices) -> Indices | None:
        """Deal whole groups to support or query: finds a choice wherever there is one."""
        order = random.permutation(clips)
        groups = self._groups[order]
        supporting, querying = np.isin(groups, self._supporting), np.isin(groups, self._querying)
        free, sizes = np.unique(groups[~supporting & ~querying], return_counts=True)
        chosen = fewest(sizes.tolist(), max(0, self._shot - int(supporting.sum())))
        if chosen is None:
            return None
        supporting |= np.isin(groups, free[chosen])
        support, query = order[supporting][: self._shot], order[~supporting][: self._query]
        return self._keep(support, query) if len(query) == self._query else None

    def _keep(self, support: Indices, query: Indices) -> Indices:
        self._supporting = np.union1d(self._supporting, self._groups[support])
        self._querying = np.union1d(self._querying, self._groups[query])
        return np.concatenate([support, query])


def fewest(sizes: Sequence[int], needed: int) -> list[int] | None:
    """Which of ``sizes`` have the smallest sum of at least ``needed``; None where all of them have less.

    Subset sums as the bits of integers: bit s of ``reach[i]`` says that some of the first i sizes sum to s.
    """
    reach = [1]
    for size in sizes:
        reach.append(reach[-1] | reach[-1] << size)
    enough = reach[-1] >> needed
    if not enough:
        return None
    total = needed + (enough & -enough).bit_length() - 1
    chosen = []
    for i in reversed(range(len(sizes))):
        if not reach[i] >> total & 1:
            chosen.append(i)
            total -= sizes[i]
    return chosen


def check_groups(groups: Indices, by_class: Mapping[str, Indices], shot: int, query: int, phase: str) -> None:
    """Check that every class can keep ``shot`` and ``query`` clips in different groups.

    Raises DataError naming the classes that cannot, with their numbers of clips and groups.
    """
    short = []
    for name, clips in by_class.items():
        _, sizes = np.unique(groups[clips], return_counts=True)
        chosen = fewest(sizes.tolist(), shot)
        if chosen is None or len(clips) - sizes[chosen].sum() < query:
            short.append(f"{name!r} ({len(clips)} clips of {len(sizes)} recordings)")
    if short:
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        raise DataError(
            f"disjoint_groups: {len(short)} classes of the {phase} split cannot offer {shot} support and {query} query "
            f"clips from different source recordings: {', '.join(short[:5])}{more}; ask for fewer, or set "
            "disjoint_groups=false"
        )
