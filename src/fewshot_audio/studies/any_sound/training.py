"""Training of the network for any sound: a cosine classifier of all classes, each told from those of its collection."""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.resnet8 import ResNet8
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.any_sound.augment import augment
from fewshot_audio.studies.any_sound.batches import draw_batch
from fewshot_audio.studies.any_sound.pool import TrainingPool
from fewshot_audio.studies.averaging import average_weights

SHARPNESS = 16.0
"""Factor of cosines in the classifier's logits."""

PROJECTED = 128
"""Width of what the classifier compares; the network that is kept ends before it."""

REPORT_EVERY = 50
SAMPLED = 300
"""Segments of each collection by which the axes of the embedding are found."""


@dataclass(frozen=True)
class AnySoundSettings:
    """How long and how fast it learns.

    Args:
        steps: batches.
        seed: of all draws and initial weights.
        learning_rate: its highest value; it rises over the first tenth and falls to 0 along a cosine.
        weight_decay: of all weights but the classes'.
        averaging: momentum of the average over steps that is kept.
        weights: of collections, by which they are drawn more often than by the root of their size; others have 1.
    """

    steps: int = 4800
    seed: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    averaging: float = 0.998
    weights: Mapping[str, float] = field(default_factory=dict)


def train_any_sound(
    network: FewShotNetwork, pool: TrainingPool, settings: AnySoundSettings, progress: Progress = silent
) -> None:
    """Train the network's encoder, a ``ResNet8``, on all classes of a pool; the same seed gives the same weights.

    A classifier by cosine (Chen et al. 2019, A Closer Look at Few-shot Classification) tells each sound from the other
    classes of its own collection only: collections differ in microphones and codecs, which would be the easiest thing
    to learn. What is kept is the average of the weights over steps, without the classifier; the last linear layer
    becomes the principal axes of what it reads, over sounds of all collections, rotated.

    Args:
        network: its normalization says how many dB one unit of the encoder's input is.
        pool: the classes.
        settings: how long and how fast.
        progress: called after every few steps, with the loss and the share of right answers.
    """
    encoder = network.encoder
    assert isinstance(encoder, ResNet8)
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    classifier = _Classifier(encoder.linear.in_features, pool.collection_of)
    averaged = copy.deepcopy(encoder)
    groups: list[dict[str, Any]] = [
        {"params": [*encoder.parameters(), *classifier.projection.parameters()]},
        {"params": [classifier.classes], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, settings.steps, pct_start=0.1, cycle_momentum=True
    )
    shares = pool.shares(settings.weights)
    encoder.train()
    for step in range(settings.steps):
        features, labels = draw_batch(pool, shares, random)
        logits = classifier(encoder.pooled(network.normalize(augment(features))), labels)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average_weights(averaged, encoder, settings.averaging, step)
        if step % REPORT_EVERY == 0:
            right = float((logits.argmax(dim=1) == labels).float().mean())
            progress("training", step, settings.steps, f"loss {loss.item():.2f}, {100 * right:.0f} % right")
    encoder.load_state_dict(averaged.state_dict())
    network.eval()
    _project(network, pool, settings.seed)


class _Classifier(nn.Module):
    """Logits of the classes of each sound's collection; the others' are out of the question.

    Shape: (n, width), labels (n,) -> (n, classes).
    """

    collection_of: Tensor

    def __init__(self, width: int, collection_of: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        super().__init__()
        self.projection = nn.Linear(width, PROJECTED, bias=False)
        self.classes = nn.Parameter(0.1 * torch.randn(len(collection_of), PROJECTED))
        self.register_buffer("collection_of", torch.from_numpy(collection_of))

    def forward(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """Compare with the classes."""
        cosines = F.normalize(self.projection(pooled), dim=1) @ F.normalize(self.classes, dim=1).T
        others = self.collection_of[labels].unsqueeze(1) != self.collection_of
        return (SHARPNESS * cosines).masked_fill(others, -1e4)


@torch.no_grad()
def _project(network: FewShotNetwork, pool: TrainingPool, seed: int) -> None:
    """Make the encoder's linear layer the principal axes of sounds of all collections, each counted alike; rotated.

    What decides by embeddings standardizes each of their numbers. Along the axes themselves, that would make the last
    ones, which are mostly noise, count as much as the first; after a rotation all numbers vary about alike.
    """
    from sklearn.decomposition import PCA

    encoder = network.encoder
    assert isinstance(encoder, ResNet8)
    chosen, random = [], np.random.default_rng([seed, 1])
    for number in range(len(pool.collections)):
        of_classes = [pool.segments_of[label] for label in np.flatnonzero(pool.collection_of == number)]
        segments = np.array(list(itertools.chain.from_iterable(of_classes)))
        chosen.append(random.permutation(segments)[:SAMPLED])
    rows = []
    for segment in np.concatenate(chosen):
        features = torch.from_numpy(pool.features[[segment]].astype(np.float32))
        rows.append(encoder.pooled(network.normalize(features))[0])
    table = torch.stack(rows).double().numpy()
    components = PCA(min(encoder.out_dim, *table.shape), svd_solver="full").fit(table)
    axes = torch.zeros(encoder.linear.weight.shape, dtype=torch.float64)
    axes[: len(components.components_)] = torch.from_numpy(components.components_)
    rotation = torch.from_numpy(np.linalg.qr(random.normal(size=(encoder.out_dim, encoder.out_dim)))[0])
    encoder.linear.weight.copy_(rotation @ axes)
    encoder.linear.bias.copy_(-rotation @ axes @ torch.from_numpy(components.mean_))
