"""What a run trains on: its data, and its episodes with their raw segments, fetched while the network works."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.device_cache import DeviceCache
from fewshot_audio.data.episodes import Episode
from fewshot_audio.data.splits import Splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.models.views import ViewMaker


@dataclass(frozen=True)
class TrainingData:
    """The segments of a dataset, the classes of its splits, and how views of segments are made.

    ``caches`` holds the store's segments as each device reads them; data of the same store share it.
    """

    store: SegmentStore
    splits: Splits
    views: ViewMaker
    caches: dict[torch.device, DeviceCache] = field(default_factory=dict, repr=False, compare=False)

    def fetch(self, indices: Indices, device: torch.device) -> Tensor:
        """Segments on a device, where the whole store lies if it fits. Shape: indices (n,) -> (n, *segment)."""
        if device not in self.caches:
            self.caches[device] = DeviceCache(self.store, device)
        return self.caches[device].fetch(indices)


class LoadedEpisode(NamedTuple):
    """An episode and the raw segments of its support and query items, (way * items, *segment) on the device."""

    episode: Episode
    support: Tensor
    query: Tensor


class EpisodeLoader:
    """Draws episodes and fetches their segments, one ahead, in a thread of its own: disk and bus work meanwhile.

    ``draw`` gives the episode of an epoch's task.
    """

    def __init__(self, draw: Callable[[int, int], Episode], data: TrainingData, device: torch.device) -> None:
        self._draw, self._data, self._device = draw, data, device
        self._thread = ThreadPoolExecutor(1, "episodes")
        self._coming: dict[tuple[int, int], Future[LoadedEpisode]] = {}

    def load(self, epoch: int, task: int, following: int | None = None) -> LoadedEpisode:
        """Return a task's episode, and begin to fetch the ``following`` task of the epoch."""
        future = self._coming.pop((epoch, task), None) or self._thread.submit(self._load, epoch, task)
        if following is not None:
            self._coming = {(epoch, following): self._thread.submit(self._load, epoch, following)}
        return future.result()

    def _load(self, epoch: int, task: int) -> LoadedEpisode:
        episode = self._draw(epoch, task)
        items = np.concatenate([episode.support.ravel(), episode.query.ravel()])
        raw = self._data.fetch(items, self._device)
        return LoadedEpisode(episode, raw[: episode.support.size], raw[episode.support.size :])
