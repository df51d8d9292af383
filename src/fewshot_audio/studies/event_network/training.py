"""Training of the event network: telling windows of events from one another and from what is none."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_audio.events.detection.candidates import overlap
from fewshot_audio.models.event_network import WIDTH, EventNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.averaging import average_weights
from fewshot_audio.studies.event_network.sounds import SoundPool
from fewshot_audio.studies.event_network.soundscapes import (
    FRAMES,
    PITCHES,
    TrainingSoundscape,
    draw_soundscape,
)

REPORT_EVERY = 50
SOUNDSCAPES = 12
"""In a batch."""
OTHERS, OTHER_WEIGHT = 3, 0.3
"""Windows of each soundscape that are no events, and what one weighs beside an event."""
MOST_OVERLAP = 0.15
"""Of such a window with an event, as intersection over union."""
JITTER = 0.12
"""By which onset and offset of an event's window are off, at most, as a part of its length."""
PRESENCE_WEIGHT = 2.0


@dataclass(frozen=True)
class EventNetworkSettings:
    """How long and how fast it learns.

    Args:
        steps: batches.
        seed: of all draws and initial weights.
        learning_rate: its highest value; it rises over the first tenth and falls to 0 along a cosine.
        weight_decay: of all weights.
        averaging: momentum of the average over steps that is kept.
        weights: of collections, by which they are drawn; others have 1.
    """

    steps: int = 4000
    seed: int = 0
    learning_rate: float = 2.5e-3
    weight_decay: float = 1e-3
    averaging: float = 0.995
    weights: Mapping[str, float] = field(default_factory=dict)


def train_event_network(pool: SoundPool, settings: EventNetworkSettings, progress: Progress = silent) -> EventNetwork:
    """Train on soundscapes; the same seed gives the same weights.

    A classifier by cosine (Chen et al. 2019, A Closer Look at Few-shot Classification) tells the mean embedding of an
    event's frames from the other classes of its collection and from what is no event; beside it, each frame is told to
    be of an event or not. What is kept is the average of the weights over steps, without the classifier.

    Args:
        pool: what soundscapes are mixed from.
        settings: how long and how fast.
        progress: called after every few steps, with both losses.
    """
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    network: EventNetwork = EventNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = _Classifier(pool)
    averaged = copy.deepcopy(network)
    parameters = [*network.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, settings.steps, pct_start=0.1, cycle_momentum=True
    )
    shares = np.array([settings.weights.get(name, 1.0) for name in pool.collections])
    shares /= shares.sum()
    precise = not torch.cpu._is_avx512_bf16_supported()
    network.train()
    for step in range(settings.steps):
        batch = [draw_soundscape(pool, shares, random) for _ in range(SOUNDSCAPES)]
        windows = draw_windows(batch, pool, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            embeddings, presence = network(torch.from_numpy(np.stack([scape.levels for scape in batch])))
        logits = classifier(_means(embeddings.float(), windows), windows)
        labels = torch.from_numpy(windows[:, 3])
        weights = torch.where(labels < len(classifier.collection_of), 1.0, OTHER_WEIGHT)
        loss = (F.cross_entropy(logits, labels, reduction="none") * weights).sum() / weights.sum()
        heard = F.binary_cross_entropy_with_logits(presence.float(), _present(batch))
        optimizer.zero_grad()
        total = loss + PRESENCE_WEIGHT * heard
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        schedule.step()
        average_weights(averaged, network, settings.averaging, step)
        if step % REPORT_EVERY == 0:
            progress("training", step, settings.steps, f"losses {loss.item():.2f}, {heard.item():.3f}")
    averaged.eval()
    return averaged


def draw_windows(batch: list[TrainingSoundscape], pool: SoundPool, random: np.random.Generator) -> NDArray[np.int64]:
    """A window for each event, not quite at its onset and offset, and windows that are none.

    Returns:
        A row for each: number of the soundscape, first frame, the one behind the last, label (behind all others: no
        event), and collection.
    """
    rows = []
    for number, scape in enumerate(batch):
        for start, end, label in scape.events:
            first, last = (random.uniform(-JITTER, JITTER, 2) * (end - start) + (start, end)).round().astype(int)
            first = int(np.clip(first, 0, FRAMES - 3))
            last = int(np.clip(last, first + 2, FRAMES))
            rows.append((number, first, last, label, pool.collection_of[label // len(PITCHES)]))
        spans = np.array([event[:2] for event in scape.events], dtype=np.int64).reshape(-1, 2)
        for _ in range(OTHERS):
            length = int(random.integers(5, 120))
            first = int(random.integers(0, FRAMES - length))
            shares = overlap(np.array([first]), np.array([first + length]), spans[:, 0], spans[:, 1])
            if shares.max(initial=0.0) < MOST_OVERLAP:
                none = len(pool.classes) * len(PITCHES)
                rows.append((number, first, first + length, none, random.integers(len(pool.collections))))
    return np.array(rows, dtype=np.int64)


class _Classifier(nn.Module):
    """Logits of the classes of each window's collection, and of no event; the others' are out of the question."""

    collection_of: Tensor

    def __init__(self, pool: SoundPool) -> None:
        super().__init__()
        self.register_buffer("collection_of", torch.from_numpy(np.repeat(pool.collection_of, len(PITCHES))))
        self.classes = nn.Parameter(0.1 * torch.randn(len(self.collection_of) + 1, WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, embeddings: Tensor, windows: NDArray[np.int64]) -> Tensor:
        """Shape: (windows, WIDTH) -> (windows, labels + 1)."""
        cosines = F.normalize(embeddings, dim=1) @ F.normalize(self.classes, dim=1).T
        others = torch.from_numpy(windows[:, 4]).unsqueeze(1) != self.collection_of
        return (self.log_scale.exp() * cosines).masked_fill(F.pad(others, (0, 1)), -1e4)


def _means(embeddings: Tensor, windows: NDArray[np.int64]) -> Tensor:
    """Mean embeddings of windows. Shape: (soundscapes, frames, WIDTH) -> (windows, WIDTH)."""
    sums = F.pad(embeddings.cumsum(dim=1), (0, 0, 1, 0))
    number, first, last = torch.from_numpy(windows[:, :3]).unbind(1)
    return (sums[number, last] - sums[number, first]) / (last - first).unsqueeze(1)


def _present(batch: list[TrainingSoundscape]) -> Tensor:
    """1 in the frames of events, 0 elsewhere. Shape: -> (soundscapes, FRAMES)."""
    present = torch.zeros(len(batch), FRAMES)
    for number, scape in enumerate(batch):
        for start, end, _ in scape.events:
            present[number, start:end] = 1.0
    return present
