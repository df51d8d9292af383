"""Frames as they are heard: levels above the noise floor, and what the event network makes of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from fewshot_audio.events.detection.frames import Excerpt, Frames
from fewshot_audio.events.detection.network import Hearing

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
    def of(cls, excerpt: Excerpt, faintest: float, hearing: Hearing) -> Self:
        """Hear an excerpt by a network; power below ``faintest`` counts as nothing."""
        levels = frame_levels(excerpt, faintest)
        return cls(levels, *hear(levels, excerpt.step, hearing))


@dataclass(frozen=True)
class Ear:
    """How the frames of one label are heard.

    Args:
        faintest: power that counts as nothing, so that digital silence has finite levels.
        hearing: the network.
    """

    faintest: float
    hearing: Hearing

    def hear(self, excerpt: Excerpt) -> HeardFrames:
        """The frames of an excerpt."""
        return HeardFrames.of(excerpt, self.faintest, self.hearing)


def faintest_beside(power: float) -> float:
    """Power that counts as nothing beside this one: 60 dB less."""
    return max(1e-6 * power, 1e-30)


def frame_levels(excerpt: Excerpt, faintest: float) -> Frames:
    """Levels of an excerpt, where power below ``faintest`` counts as nothing. Shape: -> (frames, bands)."""
    return levels_above(np.maximum(excerpt.power, faintest), np.maximum(excerpt.floor, faintest))


def levels_above(power: Frames, floor: Frames) -> Frames:
    """How far each band is above its noise floor, in units of 10 dB. Shape: (frames, bands), alike -> alike."""
    levels: Frames = (np.clip(10.0 * np.log10(power / floor), FAINTEST, LOUDEST) / 10.0).astype(np.float32)
    return levels


def hear(levels: Frames, step: int, hearing: Hearing) -> tuple[Frames, Frames]:
    """What a network makes of frames, each in a context of ``CONTEXT`` of its own frames.

    Args:
        levels: above the noise floor (frames, bands).
        step: frames of 5 ms that count as one.
        hearing: the network.

    Shape:
        -> embeddings (frames, WIDTH), and log-odds that an event sounds (frames,).
    """
    repeats = NETWORK_STEP // step
    missing = -len(levels) % (2 * repeats)
    padded = np.concatenate([levels, np.repeat(levels[-1:], missing, axis=0)])
    own = padded.reshape(len(padded) // repeats, repeats, -1).mean(axis=1)
    embeddings: list[Frames] = []
    presence: list[Frames] = []
    for start in range(0, len(own), _CHUNK):
        first, end = max(0, start - CONTEXT), min(start + _CHUNK, len(own))
        for parts, values in zip((embeddings, presence), hearing(own[first : end + CONTEXT]), strict=True):
            parts.append(values[start - first : end - first])
    log_odds = np.clip(np.concatenate(presence), -MOST_LOG_ODDS, MOST_LOG_ODDS)
    count = len(levels)
    return np.concatenate(embeddings).repeat(repeats, axis=0)[:count], log_odds.repeat(repeats)[:count]
