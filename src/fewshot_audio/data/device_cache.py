"""Segments on the training device: the whole store if it fits, else the requested segments, copied while it works."""

import logging

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.runtime.tensors import send

logger = logging.getLogger(__name__)

CHUNK = 256 * 2**20  # bytes copied at a time while a whole store is copied


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU; 0 for the CPU, where a copy of the memory map has no use."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


class DeviceCache:
    """Gives a device the segments of a store.

    The whole store is copied to the device, in the store's precision, if it takes at most half of the free memory (the
    rest is for training); otherwise, and on the CPU, every ``fetch`` copies the requested segments.

    Args:
        store: the segments.
        device: the device that trains.
        free: free bytes of the device; by default what it reports.
    """

    def __init__(self, store: SegmentStore, device: torch.device, free: int | None = None) -> None:
        self._store = store
        self._device = device
        free = free_memory(device) if free is None else free
        size = store.segments.nbytes
        self._copy = _copy(store, device) if size <= free // 2 else None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" and self._copy is None else None  # type: ignore[no-untyped-call]
        if device.type != "cpu":
            place = "host memory" if self._copy is None else str(device)
            logger.info("store of %.1f GB in %s (%.1f GB free)", size / 1e9, place, free / 1e9)

    def fetch(self, indices: Indices) -> Tensor:
        """Return segments on the device, for use on its default stream.

        Shape:
            indices (n,) -> (n, *segment), float32.
        """
        if self._copy is not None:
            return self._copy[send(torch.from_numpy(indices), self._device)].float()
        if self._stream is None:
            return torch.from_numpy(self._store.read(indices)).to(self._device)
        pinned = torch.empty((len(indices), *self._store.shape), pin_memory=True)
        self._store.read(indices, pinned.numpy())
        with torch.cuda.stream(self._stream):
            segments = pinned.to(self._device, non_blocking=True)
        segments.record_stream(torch.cuda.default_stream(self._device))
        self._stream.synchronize()  # for the copy alone, not for the work of the default stream
        return segments


def _copy(store: SegmentStore, device: torch.device) -> Tensor:
    """Copy all segments, a chunk at a time, because the host's memory may be smaller than the store."""
    segments = store.segments
    rows = max(1, CHUNK // segments[0].nbytes)
    copy = torch.empty(segments.shape, dtype=torch.from_numpy(segments[:0].copy()).dtype, device=device)
    for start in range(0, len(segments), rows):
        store.read_ahead(np.arange(start, min(start + rows, len(segments))))
        copy[start : start + rows] = torch.from_numpy(np.array(segments[start : start + rows]))
    return copy
