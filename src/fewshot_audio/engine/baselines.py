"""Baselines for a trained network, on the same tasks: without any learning, or simple classifiers on its embeddings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.engine.system import ENCODE_BATCH, Embeddings, NetworkSystem
from fewshot_audio.functional.prototypes import prototypes, prototypical_scores
from fewshot_audio.progress import Progress, silent

PROBE_C = 1.0  # scikit-learn's default strength
PROBE_STEPS = 500


@dataclass(frozen=True)
class Baseline(ABC):
    """A system to compare a network with.

    Attributes:
        network_system: the network, and how it is tested.
        training: segments of the training classes, sorted.
    """

    network_system: NetworkSystem
    training: Indices

    @property
    def relation(self) -> bool:
        """No baseline has a relation head."""
        return False

    @abstractmethod
    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Embed sorted segments."""

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Negative distance to the class's mean."""
        return prototypical_scores(prototypes(support), queries, "euclidean")


class LogMelCentroid(Baseline):
    """The nearest centroid of log-mel statistics, without a network."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Mean and deviation over time of each mel bin, on the scale of the training classes."""
        training = self._statistics(self.training, silent)
        mean, std = training.mean(0), training.std(0, correction=0).clamp(min=1e-6)
        rows = (self._statistics(segments, progress) - mean) / std
        return Embeddings(segments, rows[:, None, None])

    def _statistics(self, segments: Indices, progress: Progress) -> Tensor:
        network, data = self.network_system.network, self.network_system.data
        parts = []
        for start in range(0, len(segments), ENCODE_BATCH):
            raw = data.fetch(segments[start : start + ENCODE_BATCH], network.norm_mean.device)
            parts.append(log_mel_statistics(data.views.features(network, raw)))
            progress("log-mel statistics", min(start + ENCODE_BATCH, len(segments)), len(segments))
        return torch.cat(parts)


class SimpleShot(Baseline):
    """The nearest centroid of centered and L2-normalized embeddings, CL2N (Wang et al. 2019, SimpleShot)."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """Subtract the mean embedding of the training classes, then normalize."""
        center = self.network_system.embed(self.training).rows.mean((0, 1, 2))
        embeddings = self.network_system.embed(segments, progress)
        return replace(embeddings, rows=F.normalize(embeddings.rows - center, dim=-1))


class LinearProbe(Baseline):
    """A logistic regression on the network's embeddings of each task's support (Tian et al. 2020)."""

    def embed(self, segments: Indices, progress: Progress) -> Embeddings:
        """The network's embeddings."""
        return self.network_system.embed(segments, progress)

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        """Log-probabilities."""
        return linear_probe_scores(support, queries)


BASELINES: dict[str, type[Baseline]] = {
    "log-mel": LogMelCentroid,
    "simpleshot": SimpleShot,
    "linear-probe": LinearProbe,
}


def log_mel_statistics(features: Tensor) -> Tensor:
    """Mean and standard deviation over time of each mel bin. Shape: (n, mels, frames) -> (n, 2 mels)."""
    return torch.cat([features.mean(-1), features.std(-1, correction=0)], dim=-1)


def linear_probe_scores(support: Tensor, queries: Tensor) -> Tensor:
    """Log-probabilities of a logistic regression fitted to each task's support rows (Tian et al. 2020).

    Rows are L2-normalized. The loss is the summed cross-entropy plus |w|^2 / 2 of the weights without the intercept, as
    in scikit-learn's LogisticRegression with C = 1. All tasks are solved at once by accelerated gradient steps.

    Shape: support (tasks, way, rows, width), queries (tasks, queries, width) -> (tasks, queries, way).
    """
    tasks, way, rows, width = support.shape
    x = _with_intercept(F.normalize(support, dim=-1)).flatten(1, 2)
    target = torch.eye(way, dtype=x.dtype, device=x.device).repeat_interleave(rows, 0)
    penalty = x.new_tensor([1.0] * width + [0.0])
    # The softmax's curvature is at most 1/2, a row with its intercept has square norm 2.
    step = 1 / (1 + PROBE_C * way * rows)
    weights = momentum = x.new_zeros(tasks, width + 1, way)
    scale = 1.0
    for _ in range(PROBE_STEPS):
        residual = (x @ momentum).softmax(-1) - target
        ahead = momentum - step * (PROBE_C * x.transpose(1, 2) @ residual + penalty.unsqueeze(-1) * momentum)
        larger = (1 + (1 + 4 * scale**2) ** 0.5) / 2
        momentum = ahead + (scale - 1) / larger * (ahead - weights)
        weights, scale = ahead, larger
    scores = _with_intercept(F.normalize(queries, dim=-1)) @ weights
    return scores.log_softmax(-1)


def _with_intercept(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)
