"""Segments on the training device: all of them where they fit, else what is asked for, copied beside its work."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.data.episodes import Indices
from fewshot_audio.runtime.tensors import send

if TYPE_CHECKING:
    from fewshot_audio.data.store import SegmentStore

logger = logging.getLogger(__name__)

CHUNK = 256 * 2**20  # bytes copied at a time while a store is placed


def free_memory(device: torch.device) -> int:
    """Bytes free on a GPU; 0 on the CPU, for which nothing is nearer than the memory map."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


class Placement:
    """A store's segments as seen from a device.

    They are placed there as they are stored if they take at most half of the ``free`` bytes (the rest is for
    training); else, and on the CPU, those that are asked for are copied there.
    """

    def __init__(self, store: "SegmentStore", device: torch.device, free: int) -> None:
        self._store = store
        self._device = device
        segments = store.segments
        self._placed = _place(store, device) if segments.nbytes <= free // 2 else None
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" and self._placed is None else None  # type: ignore[no-untyped-call]
        if device.type != "cpu":
            where = "host memory" if self._placed is None else str(device)
            logger.info("store of %.1f GB in %s (%.1f GB free)", segments.nbytes / 1e9, where, free / 1e9)

    def fetch(self, indices: Indices) -> Tensor:
        """Segments on the device. Shape: indices (n,) -> (n, *segment), float32; for the device's default stream."""
        if self._placed is not None:
            return self._placed[send(torch.from_numpy(indices), self._device)].float()
        if self._copies is None:
            return torch.from_numpy(self._store.gather(indices)).to(self._device)
        pinned = torch.empty((len(indices), *self._store.shape), pin_memory=True)
        self._store.gather(indices, pinned.numpy())
        with torch.cuda.stream(self._copies):
            copied = pinned.to(self._device, non_blocking=True)
        copied.record_stream(torch.cuda.default_stream(self._device))
        self._copies.synchronize()  # for the copy alone, not for the work of the default stream
        return copied


def _place(store: "SegmentStore", device: torch.device) -> Tensor:
    """Copy all segments, a chunk at a time: they may be more than fits into the host's memory."""
    segments = store.segments
    rows = max(1, CHUNK // segments[0].nbytes)
    placed = torch.empty(segments.shape, dtype=torch.from_numpy(segments[:0].copy()).dtype, device=device)
    for start in range(0, len(segments), rows):
        store.read_ahead(np.arange(start, min(start + rows, len(segments))))
        placed[start : start + rows] = torch.from_numpy(np.array(segments[start : start + rows]))
    return placed
