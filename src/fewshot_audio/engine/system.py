"""Systems that can be tested: they embed segments of a store and score queries by their support. A network is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.functional.prototypes import prototypes, within_class_whitening
from fewshot_audio.functional.seeding import Purpose, torch_generator
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent

# Spectrograms at once; more is hardly faster on a CPU and takes much more memory.
ENCODE_BATCH, GPU_ENCODE_BATCH = 64, 1024
DRAWS: dict[Phase, int] = {"train": 1, "validation": 1, "test": 8}  # draws of views per segment
CENTER_CLIPS = 20  # of a class, from which the center of the embeddings is computed


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


class System(Protocol):
    """Anything that can be tested on tasks."""

    @property
    def relation(self) -> bool:
        """Whether scores are relation scores, which are trained by squared errors."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments of the store, each in all its draws."""

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score queries by their support.

        Shape: support (tasks, way, rows, width), queries (tasks, rows, width) -> (tasks, rows, way).
        """


@dataclass(frozen=True)
class NetworkSystem:
    """A network as a phase tests it; the caller sets eval mode and switches gradients off.

    Attributes:
        network: on the device where it computes.
        data: the store, the splits and the maker of views.
        phase: decides how many draws of its views a segment gets, and the random stream.
        seed: of the draws of views.
        n_views: views of every segment; 1 if the phase makes none.
    """

    network: FewShotNetwork
    data: TrainingData
    phase: Phase
    seed: int
    n_views: int

    @classmethod
    def validation(cls, network: FewShotNetwork, experiment: ExperimentConfig, data: TrainingData, seed: int) -> Self:
        """The network as a run with this seed validates it."""
        return cls(network, data, "validation", seed, experiment.query_views("validation"))

    @classmethod
    def test(cls, network: FewShotNetwork, experiment: ExperimentConfig, data: TrainingData) -> Self:
        """The network as the experiment tests it."""
        return cls(network, data, "test", experiment.test_seed, experiment.query_views("test"))

    @property
    def relation(self) -> bool:
        """Whether a relation head scores."""
        return self.network.relation is not None

    def embed(self, segments: Indices, progress: Progress = silent) -> Embeddings:
        """Embed sorted segments with the views of the phase, and transform their rows."""
        return self._transform(self.embed_untransformed(segments, progress))

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score against the mean of each class's rows."""
        return self.network.score(prototypes(support), queries)

    def embed_untransformed(self, segments: Indices, progress: Progress = silent) -> Embeddings:
        """Embed sorted segments without views once, else once per draw of their views; rows are not transformed.

        Draws depend on (seed, phase, draw) and the list of segments, not on batches.
        """
        maker, shape = self.data.views, self.data.store.shape
        draws = [
            maker.draw(len(segments), shape, torch_generator(self.seed, self.phase, 0, draw, Purpose.VIEWS))
            for draw in range(DRAWS[self.phase] if self.n_views > 1 else 0)
        ]
        parts = []
        for part, raw in self._batches(segments):
            original = self.network.encode(maker.plain(self.network, raw).flatten(0, 1))
            rows = [self._fuse_views(raw, original, maker.select(draw, part)) for draw in draws]
            parts.append(torch.stack(rows or [self.network.fuse(original.unsqueeze(1))], dim=1))
            progress("embedding", part.stop, len(segments))
        return Embeddings(segments, torch.cat(parts))

    def encode_originals(self, segments: Indices) -> Embeddings:
        """Encode sorted segments without views and without fusion: rows are (segments, 1, 1, out_dim)."""
        plain = (self.data.views.plain(self.network, raw) for _, raw in self._batches(segments))
        parts = [self.network.encode(views.flatten(0, 1)) for views in plain]
        return Embeddings(segments, torch.cat(parts)[:, None, None])

    def embed_fresh(self, originals: Embeddings, items: Indices, generator: torch.Generator) -> Embeddings:
        """Embed the items of a task, store indices (items,), with views of their own; they are numbered from 0."""
        maker = self.data.views
        draw = maker.draw(len(items), self.data.store.shape, generator)
        original = originals.take(items, np.zeros_like(items))[:, 0]
        parts = [self._fuse_views(raw, original[part], maker.select(draw, part)) for part, raw in self._batches(items)]
        return self._transform(Embeddings(np.arange(len(items)), torch.cat(parts).unsqueeze(1)))

    def _transform(self, embeddings: Embeddings) -> Embeddings:
        return replace(embeddings, rows=self.network.transform(embeddings.rows))

    def _batches(self, segments: Indices) -> Iterator[tuple[slice, Tensor]]:
        """Split segments into batches for the encoder: their positions among ``segments``, and the raw segments."""
        device = self.network.norm_mean.device
        batch = max(1, (ENCODE_BATCH if device.type == "cpu" else GPU_ENCODE_BATCH) // self.n_views)
        for start in range(0, len(segments), batch):
            part = slice(start, min(start + batch, len(segments)))
            yield part, self.data.fetch(segments[part], device)

    def _fuse_views(self, raw: Tensor, original: Tensor, draw: Any) -> Tensor:
        """Encode a draw's views beside the originals, which are encoded already: (n, out_dim) -> (n, rows, width)."""
        views = self.data.views.views(self.network, raw, draw)[:, 1:]
        encoded = self.network.encode(views.flatten(0, 1)).view(len(raw), views.shape[1], -1)
        return self.network.fuse(torch.cat([original.unsqueeze(1), encoded], dim=1))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; the network's mode is restored afterwards."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(was_training)


class CachedSystem:
    """A system that is tested several times: it does not embed the same segments twice in a row."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._last: Embeddings | None = None

    @property
    def relation(self) -> bool:
        """As of the system."""
        return self._system.relation

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments, unless they are those of the last call."""
        if self._last is None or not np.array_equal(self._last.segments, segments):
            self._last = self._system.embed(segments, progress)
        return self._last

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score as the system does."""
        return self._system.scores(support, queries)


def fit_transform(system: NetworkSystem) -> None:
    """Set what a network's transform of embeddings needs: their center, and their whitening within classes.

    Both are of the training classes in eval mode. Every class has the same weight: at most CENTER_CLIPS clips of it,
    evenly spaced, with one segment each, are embedded. Views are those of the system's phase.
    """
    network, index = system.network, system.data.store.index
    if network.center is None:
        return
    clips = [index.by_class[name] for name in system.data.splits.train]
    segments = [index.offsets[of_class[:: -(-len(of_class) // CENTER_CLIPS)]] for of_class in clips]
    with evaluating(network):
        embeddings = system.embed_untransformed(np.unique(np.concatenate(segments)))
        first = np.zeros((), np.int64)
        rows = [embeddings.take(of_class, first).flatten(0, -2) for of_class in segments]
        network.center.copy_(torch.stack([of_class.mean(0) for of_class in rows]).mean(0))
        if network.whitening is not None:
            covariances = [of_class.double().T.cov(correction=0) for of_class in rows]
            network.whitening.copy_(within_class_whitening(torch.stack(covariances).mean(0)))
