"""Embedding segments for validation and testing: each once, or once per draw of its views."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.episodes import Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.functional.seeding import Purpose, torch_generator
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.progress import Progress, silent

# Spectrograms at once; more is hardly faster on a CPU and takes much more memory.
ENCODE_BATCH, GPU_ENCODE_BATCH = 64, 1024
DRAWS: dict[Phase, int] = {"train": 1, "validation": 1, "test": 8}  # draws of views per segment


@dataclass(frozen=True)
class Embeddings:
    """Embedded segments: ``rows`` (segments, draws, rows, width) and the sorted store indices they belong to.

    A segment has one row, or with views but without attention one per view.
    """

    segments: Indices
    rows: Tensor

    def take(self, segments: Indices, draws: Indices) -> Tensor:
        """Rows of store indices in given draws. Shape: both (...), broadcast -> (..., rows, width)."""
        position = torch.from_numpy(np.searchsorted(self.segments, segments))
        return self.rows[position.to(self.rows.device), torch.from_numpy(draws).to(self.rows.device)]


def embed_segments(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    segments: Indices,
    phase: Phase,
    *,
    seed: int,
    progress: Progress = silent,
) -> Embeddings:
    """Embed sorted ``segments`` as ``phase`` asks: without views once, else once per draw of the views.

    Draws depend on (seed, phase, draw) and the list of segments, not on batches. The caller sets eval mode and
    switches gradients off.
    """
    with_views = experiment.query_views(phase) > 1
    draws = [
        maker.draw(len(segments), store.shape, torch_generator(seed, phase, 0, draw, Purpose.VIEWS))
        for draw in range(DRAWS[phase] if with_views else 0)
    ]
    parts = []
    for part in _batches(network, experiment, phase, len(segments)):
        raw = store.fetch(segments[part], network.norm_mean.device)
        original = network.encode(maker.plain(network, raw).flatten(0, 1))
        rows = [_fuse_views(network, maker, raw, original, maker.select(draw, part)) for draw in draws]
        parts.append(torch.stack(rows or [network.fuse(original.unsqueeze(1))], dim=1))
        progress("embedding", part.stop, len(segments))
    return Embeddings(segments, torch.cat(parts))


def embed_originals(
    network: FewShotNetwork, experiment: ExperimentConfig, store: SegmentStore, maker: ViewMaker, segments: Indices
) -> Embeddings:
    """Encode sorted ``segments`` without views and without fusion: rows are (segments, 1, 1, out_dim)."""
    device = network.norm_mean.device
    batches = _batches(network, experiment, "test", len(segments))
    raw = (store.fetch(segments[part], device) for part in batches)
    parts = [network.encode(maker.plain(network, part).flatten(0, 1)) for part in raw]
    return Embeddings(segments, torch.cat(parts)[:, None, None])


def embed_fresh(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    store: SegmentStore,
    maker: ViewMaker,
    originals: Embeddings,
    items: Indices,
    generator: torch.Generator,
) -> Embeddings:
    """Embed the items of a task, store indices (items,), with views of their own; they are numbered from 0."""
    draw = maker.draw(len(items), store.shape, generator)
    original = originals.take(items, np.zeros_like(items))[:, 0]
    parts = []
    for part in _batches(network, experiment, "test", len(items)):
        raw = store.fetch(items[part], network.norm_mean.device)
        parts.append(_fuse_views(network, maker, raw, original[part], maker.select(draw, part)))
    return Embeddings(np.arange(len(items)), torch.cat(parts).unsqueeze(1))


def _batches(network: FewShotNetwork, experiment: ExperimentConfig, phase: Phase, n: int) -> Iterator[slice]:
    """Slices of ``n`` segments that are encoded at once."""
    spectrograms = ENCODE_BATCH if network.norm_mean.device.type == "cpu" else GPU_ENCODE_BATCH
    batch = max(1, spectrograms // experiment.query_views(phase))
    for start in range(0, n, batch):
        yield slice(start, min(start + batch, n))


def _fuse_views(network: FewShotNetwork, maker: ViewMaker, raw: Tensor, original: Tensor, draw: Any) -> Tensor:
    """Encode a draw's views beside the originals, which are encoded already: (n, out_dim) -> (n, rows, width)."""
    views = maker.views(network, raw, draw)[:, 1:]
    encoded = network.encode(views.flatten(0, 1)).view(len(raw), views.shape[1], -1)
    return network.fuse(torch.cat([original.unsqueeze(1), encoded], dim=1))
