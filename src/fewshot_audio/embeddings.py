"""Embedding segments for validation and testing: each once, or once per draw of its views."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.episodes import Indices
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.randomness import Purpose, torch_generator
from fewshot_audio.views import ViewMaker

ENCODE_BATCH = 128  # spectrograms
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
    batch = max(1, ENCODE_BATCH // experiment.query_views(phase))
    parts = []
    for start in range(0, len(segments), batch):
        part = slice(start, min(start + batch, len(segments)))
        raw = store.fetch(segments[part], network.norm_mean.device)
        original = network.encode(maker.plain(network, raw).flatten(0, 1)).unsqueeze(1)
        tokens = [] if draws else [original]
        for draw in draws:  # the original is the same in every draw: it is encoded once
            views = maker.views(network, raw, maker.select(draw, part))[:, 1:]
            encoded = network.encode(views.flatten(0, 1)).view(len(raw), views.shape[1], -1)
            tokens.append(torch.cat([original, encoded], dim=1))
        parts.append(torch.stack([network.fuse(views) for views in tokens], dim=1))
        progress("embedding", part.stop, len(segments))
    return Embeddings(segments, torch.cat(parts))
