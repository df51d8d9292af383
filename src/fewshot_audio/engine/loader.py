"""The data of a run, and its episodes with their raw segments, which are fetched while the network computes."""

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

    ``caches`` holds the store's segments for each device; objects of the same store share it.
    """

    store: SegmentStore
    splits: Splits
    views: ViewMaker
    caches: dict[torch.device, DeviceCache] = field(default_factory=dict, repr=False, compare=False)

    def fetch(self, indices: Indices, device: torch.device) -> Tensor:
        """Segments on a device, which caches the whole store if it fits. Shape: indices (n,) -> (n, *segment)."""
        if device not in self.caches:
            self.caches[device] = DeviceCache(self.store, device)
        return self.caches[device].fetch(indices)


class LoadedEpisode(NamedTuple):
    """An episode and the raw segments of its support and query items, (way * items, *segment) on the device."""

    episode: Episode
    support: Tensor
    query: Tensor


class EpisodeLoader:
    """Draws episodes and fetches their segments in a thread, one episode ahead of the network.

    Args:
        draw: returns the episode of an epoch and a task.
        data: the segments.
        device: where the segments are needed.
    """

    def __init__(self, draw: Callable[[int, int], Episode], data: TrainingData, device: torch.device) -> None:
        self._draw, self._data, self._device = draw, data, device
        self._thread = ThreadPoolExecutor(1, "episodes")
        self._prefetched: dict[tuple[int, int], Future[LoadedEpisode]] = {}

    def load(self, epoch: int, task: int, following: int | None = None) -> LoadedEpisode:
        """Return a task's episode, and begin to fetch the ``following`` task of the epoch."""
        future = self._prefetched.pop((epoch, task), None) or self._thread.submit(self._load, epoch, task)
        if following is not None:
            self._prefetched = {(epoch, following): self._thread.submit(self._load, epoch, following)}
        return future.result()

    def _load(self, epoch: int, task: int) -> LoadedEpisode:
        episode = self._draw(epoch, task)
        items = np.concatenate([episode.support.ravel(), episode.query.ravel()])
        raw = self._data.fetch(items, self._device)
        return LoadedEpisode(episode, raw[: episode.support.size], raw[episode.support.size :])
