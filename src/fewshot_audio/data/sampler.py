"""Episodes of any labeled data set: a batch sampler for torch's DataLoader, with the package's own episodes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.errors import DataError, format_names, plural

Labels = Sequence[int] | Sequence[str] | NDArray[np.generic] | Tensor


class EpisodeSampler(Sampler[list[int]]):
    """Batches of indices, each an episode: ``DataLoader(dataset, batch_sampler=EpisodeSampler(labels, ...))``.

    A batch has ``n_way * (n_shot + n_query)`` indices, class by class, support before queries, as ``PrototypicalLoss``
    and the other losses take them. An episode depends on (seed, epoch, its number in the epoch) only: not on workers
    of the loader, nor on the episodes before it. Support and queries share no item.

    Call ``set_epoch`` before each epoch of training; without it every epoch has the same episodes, as validation wants.

    Args:
        labels: class of each item of the data set, integers or names.
        n_way: classes of an episode.
        n_shot: support items of each class.
        n_query: query items of each class.
        episodes: number of batches in an epoch.
        seed: of the episodes, 0 or more.

    Raises:
        DataError: there are too few classes, or items of a class; names them with their counts.
        ValueError: a number is out of its range, or labels are not one-dimensional.

    Example:
        >>> sampler = EpisodeSampler(["cat", "dog", "owl"] * 4, n_way=2, n_shot=1, n_query=2, episodes=100, seed=0)
        >>> first = next(iter(sampler))
        >>> len(sampler), len(first), [index % 3 for index in first]  # 3 items of one class, then 3 of another
        (100, 6, [1, 1, 1, 2, 2, 2])
    """

    def __init__(
        self, labels: Labels, n_way: int = 5, n_shot: int = 5, n_query: int = 5, episodes: int = 100, seed: int = 0
    ) -> None:
        for name, value, least in (("episodes", episodes, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} is {value}, expected {least} or more")
        index = index_labels(labels)
        check_episode(index, n_way, n_shot, n_query)
        self._episodes = Episodes(index, list(index.by_class), n_way, n_shot, n_query, seed=seed, phase="train")
        self._length = episodes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose episodes the next iteration has."""
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}, expected 0 or more")
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch
        for task in range(self._length):
            episode = self._episodes.episode(epoch, task)
            yield np.concatenate([episode.support, episode.query], axis=1).ravel().tolist()


def index_labels(labels: Labels) -> ClipIndex:
    """An index in which every item is a clip of one segment, and classes are in the order of their labels.

    Raises:
        ValueError: labels are not one-dimensional, or other than integers or names.
    """
    values = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "iuUO"):
        raise ValueError(f"labels are {values.shape} of {values.dtype}, expected one integer or name for each item")
    try:
        classes, counts = np.unique(values, return_counts=True)
    except TypeError as error:
        raise ValueError(f"labels are mixed, expected one integer or name for each item: {error}") from error
    items = np.split(np.argsort(values, kind="stable"), counts.cumsum()[:-1])
    by_class = dict(zip(map(str, classes.tolist()), items, strict=False))
    return ClipIndex(np.arange(len(values) + 1), by_class)


def check_episode(index: ClipIndex, n_way: int, n_shot: int, n_query: int) -> None:
    """Check that an index has the classes and items of an episode.

    Raises:
        DataError: it has not; names the classes with their counts.
        ValueError: there would be fewer than 2 classes, no support or no queries.
    """
    for name, value, least in (("n_way", n_way, 2), ("n_shot", n_shot, 1), ("n_query", n_query, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected {least} or more")
    counts = {name: len(items) for name, items in index.by_class.items()}
    if n_way > len(counts):
        raise DataError(f"n_way is {n_way}, but the labels have {plural(len(counts), 'class')}: {_listed(counts)}")
    small = {name: count for name, count in counts.items() if count < n_shot + n_query}
    if small:
        raise DataError(
            f"n_shot + n_query is {n_shot + n_query} items of each class, but there are smaller classes: "
            f"{_listed(small)}"
        )


def _listed(counts: dict[str, int]) -> str:
    return format_names([f"{name!r} ({count})" for name, count in counts.items()]) or "none"
