"""Frames as they are heard: levels above the noise floor, and what the event network makes of them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from fewshot_audio.events.detection.frames import Excerpt, Frames
from fewshot_audio.files import write_bytes

if TYPE_CHECKING:
    from fewshot_audio.models.event_network import EventNetwork

HOME = Path(__file__).parent / "shipped"
NETWORK_FILE, CARD_FILE = "event_network.safetensors", "MODEL_CARD.md"

LOUDEST, FAINTEST = 35.0, -5.0
"""dB above the noise floor that count, at most and at least."""
MOST_LOG_ODDS = 8.0
NETWORK_STEP = 2
"""Frames of 5 ms that are one of the network's."""
_CHUNK = 4096
"""Frames that the network hears at once; even, as ``CONTEXT``."""
CONTEXT = 26
"""Frames of the network on each side that decide about one."""


@dataclass(frozen=True)
class HeardFrames:
    """Frames of an excerpt.

    Args:
        levels: above the noise floor, in units of 10 dB (frames, bands).
        embeddings: by the network (frames, WIDTH).
        presence: log-odds that an event sounds, (frames,).
    """

    levels: Frames
    embeddings: Frames
    presence: Frames

    @classmethod
    def of(cls, excerpt: Excerpt, faintest: float) -> Self:
        """Hear an excerpt; power below ``faintest`` counts as nothing."""
        levels = frame_levels(excerpt, faintest)
        return cls(levels, *hear(levels, excerpt.step))


def frame_levels(excerpt: Excerpt, faintest: float) -> Frames:
    """Levels of an excerpt, where power below ``faintest`` counts as nothing. Shape: -> (frames, bands)."""
    return levels_above(np.maximum(excerpt.power, faintest), np.maximum(excerpt.floor, faintest))


def levels_above(power: Frames, floor: Frames) -> Frames:
    """How far each band is above its noise floor, in units of 10 dB. Shape: (frames, bands), alike -> alike."""
    levels: Frames = (np.clip(10.0 * np.log10(power / floor), FAINTEST, LOUDEST) / 10.0).astype(np.float32)
    return levels


def hear(levels: Frames, step: int) -> tuple[Frames, Frames]:
    """What the network makes of frames, each in a context of ``CONTEXT`` of its own frames.

    Args:
        levels: above the noise floor (frames, bands).
        step: frames of 5 ms that count as one.

    Shape:
        -> embeddings (frames, WIDTH), and log-odds that an event sounds (frames,).
    """
    import torch

    repeats = NETWORK_STEP // step
    missing = -len(levels) % (2 * repeats)
    padded = np.concatenate([levels, np.repeat(levels[-1:], missing, axis=0)])
    own = padded.reshape(len(padded) // repeats, repeats, -1).mean(axis=1)
    embeddings, presence = [], []
    for start in range(0, len(own), _CHUNK):
        first, end = max(0, start - CONTEXT), min(start + _CHUNK, len(own))
        with torch.inference_mode():
            heard = shipped_network()(torch.from_numpy(own[first : end + CONTEXT]).unsqueeze(0))
        embeddings.append(heard[0][0, start - first : end - first].numpy())
        presence.append(heard[1][0, start - first : end - first].numpy())
    log_odds = np.clip(np.concatenate(presence), -MOST_LOG_ODDS, MOST_LOG_ODDS)
    count = len(levels)
    return np.concatenate(embeddings).repeat(repeats, axis=0)[:count], log_odds.repeat(repeats)[:count]


@lru_cache(maxsize=1)
def shipped_network() -> "EventNetwork":
    """The network that comes with the package, for inference, loaded once."""
    from safetensors.torch import load_file

    from fewshot_audio.models.event_network import EventNetwork

    network = EventNetwork()
    network.load_state_dict(load_file(HOME / NETWORK_FILE))
    return network.folded()


def save_network(path: Path, network: "EventNetwork") -> None:
    """Write a network's weights. Raises WriteError."""
    from safetensors.torch import save

    write_bytes(path, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
