"""Draw support and query of an episode from different source recordings (groups of clips)."""

from collections.abc import Mapping, Sequence

import numpy as np

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.errors import DataError, format_names, plural

TRIES = 50  # random draws of clips before whole groups are assigned


class DisjointDraw:
    """Draws the clips of ONE episode, class by class, so that no group is in both its support and its query.

    A group may span classes, so the groups of previously drawn classes are taken into account.

    Args:
        groups: the group of every clip. Shape: (clips,).
        n_shot: support clips of each class.
        n_query: query clips of each class.
    """

    def __init__(self, groups: Indices, n_shot: int, n_query: int) -> None:
        self._groups, self._n_shot, self._n_query = groups, n_shot, n_query
        self._support_groups, self._query_groups = np.empty(0, np.int64), np.empty(0, np.int64)

    def draw_class(self, random: np.random.Generator, clips: Indices) -> Indices | None:
        """Draw support and query clips of a class; None if no choice keeps their groups apart.

        Shape:
            clips (clips of the class,) -> (n_shot + n_query,).
        """
        for _ in range(TRIES):
            order = random.permutation(clips)
            groups = self._groups[order]
            support = order[~np.isin(groups, self._query_groups)][: self._n_shot]
            blocked = np.concatenate([self._support_groups, self._groups[support]])
            query = order[~np.isin(groups, blocked)][: self._n_query]
            if len(support) == self._n_shot and len(query) == self._n_query:
                return self._add(support, query)
        return self._assign_groups(random, clips)

    def _assign_groups(self, random: np.random.Generator, clips: Indices) -> Indices | None:
        """Assign whole groups to support or query; this finds a choice if there is one."""
        order = random.permutation(clips)
        groups = self._groups[order]
        in_support, in_query = np.isin(groups, self._support_groups), np.isin(groups, self._query_groups)
        free, sizes = np.unique(groups[~in_support & ~in_query], return_counts=True)
        added = smallest_subset(sizes.tolist(), max(0, self._n_shot - int(in_support.sum())))
        if added is None:
            return None
        in_support |= np.isin(groups, free[added])
        support, query = order[in_support][: self._n_shot], order[~in_support][: self._n_query]
        return self._add(support, query) if len(query) == self._n_query else None

    def _add(self, support: Indices, query: Indices) -> Indices:
        self._support_groups = np.union1d(self._support_groups, self._groups[support])
        self._query_groups = np.union1d(self._query_groups, self._groups[query])
        return np.concatenate([support, query])


def smallest_subset(sizes: Sequence[int], needed: int) -> list[int] | None:
    """Return the indices of those ``sizes`` whose sum is the smallest that is at least ``needed``.

    Subset sums are the bits of integers: bit s of ``sums[i]`` says that some of the first i sizes add up to s.

    Returns:
        The indices; None if the sum of all sizes is below ``needed``.
    """
    sums = [1]
    for size in sizes:
        sums.append(sums[-1] | sums[-1] << size)
    enough = sums[-1] >> needed
    if not enough:
        return None
    total = needed + (enough & -enough).bit_length() - 1
    subset = []
    for i in reversed(range(len(sizes))):
        if not sums[i] >> total & 1:
            subset.append(i)
            total -= sizes[i]
    return subset


def check_groups(groups: Indices, by_class: Mapping[str, Indices], n_shot: int, n_query: int, phase: str) -> None:
    """Check that every class has ``n_shot`` and ``n_query`` clips in different groups.

    Args:
        groups: the group of every clip. Shape: (clips,).
        by_class: the clips of each class.
        n_shot: support clips of each class.
        n_query: query clips of each class.
        phase: the split of these classes, for the message.

    Raises:
        DataError: names the classes that lack them, with their numbers of clips and groups.
    """
    short = []
    for name, clips in by_class.items():
        _, sizes = np.unique(groups[clips], return_counts=True)
        support = smallest_subset(sizes.tolist(), n_shot)
        if support is None or len(clips) - sizes[support].sum() < n_query:
            short.append(f"{name!r} ({plural(len(clips), 'clip')} of {plural(len(sizes), 'recording')})")
    if short:
        raise DataError(
            f"disjoint_groups: {plural(len(short), 'class')} of the {phase} split cannot offer {n_shot} support and "
            f"{n_query} query clips from different source recordings: {format_names(short)}; ask for fewer, or set "
            "disjoint_groups=false"
        )
