"""Batches of training: parts of mixed length, so that a drum hit and a scene are seen as they will be heard."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.studies.any_sound.pool import SILENT, TrainingPool

LENGTHS = (32, 48, 64, 96, 128, 188, 312)
"""Frames of a batch's parts: at a hop of 16 ms, half a second to five."""

LENGTH_SHARES = (0.05, 0.08, 0.12, 0.15, 0.15, 0.20, 0.25)
LEAST_PARTS, MOST_PARTS, FRAMES = 32, 144, 96 * 128  # a batch has about so many frames
LOUD = 25.0
"""dB below a segment's loudest number; a part without any louder number is drawn once more."""


class Batch(NamedTuple):
    """Parts of segments, dB, (n, mels, frames), and the number of each one's class, (n,)."""

    features: Tensor
    labels: Tensor


def draw_batch(pool: TrainingPool, shares: NDArray[np.float64], random: np.random.Generator) -> Batch:
    """Draw a length, and for each part a collection, a class of it, a segment of that, and a place in it.

    A segment that is shorter than the part is put somewhere in silence.

    Args:
        pool: the segments.
        shares: how often each collection is drawn, (collections,).
        random: draws.
    """
    length = int(random.choice(LENGTHS, p=LENGTH_SHARES))
    n_parts = min(MOST_PARTS, max(LEAST_PARTS, FRAMES // length))
    classes_of = [np.flatnonzero(pool.collection_of == number) for number in range(len(pool.collections))]
    features = np.full((n_parts, pool.features.shape[1], length), SILENT, dtype=np.float32)
    labels = np.empty(n_parts, dtype=np.int64)
    for number in range(n_parts):
        labels[number] = random.choice(classes_of[random.choice(len(classes_of), p=shares)])
        segment = random.choice(pool.segments_of[labels[number]])
        sound = pool.features[segment][:, : pool.lengths[segment]]
        rest = sound.shape[1] - length
        if rest < 0:
            start = random.integers(1 - rest)
            features[number, :, start : start + sound.shape[1]] = sound
            continue
        start = random.integers(rest + 1)
        if sound[:, start : start + length].max() < sound.max() - LOUD:
            start = random.integers(rest + 1)
        features[number] = sound[:, start : start + length]
    return Batch(torch.from_numpy(features).clamp_(min=SILENT), torch.from_numpy(labels))
