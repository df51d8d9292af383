"""Soundscapes of ten seconds, drawn while the network learns: events over a background, added in mel power."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.detection.frames import N_MELS, UNIT, Frames, noise_floor
from fewshot_audio.events.detection.hearing import levels_above
from fewshot_audio.studies.event_network.sounds import MARGIN, STEP, Decibels, SoundPool

FRAMES = 1000
MOST_EVENTS = 8
SNR = (-4.0, 18.0)
"""dB, lowest and highest."""
SHORT_PAUSES, LONG_PAUSES = (1, 12), (20, 220)
"""Frames between events: syllables of a song, and calls of their own; as often one as the other."""
PITCHES = (-1, 0, 1)
"""An event that is moved far up or down is another sound: each class counts as three."""
MOVED = 0.35
"""Share of events that are moved so far."""
FAR, NEAR = (6, 11), 3
"""Bands by which events are moved to another pitch, and at most within one."""
STRETCH = (0.85, 1.18)
TILT = 5.0
"""dB by which parts of an event's spectrum are raised or lowered, at most."""
CUT = (60, 250)
"""Frames that are left of a longer event."""
_CROSS = 1.2
"""Of the product of two sounds' amplitudes in their mixture's power; 2 would be one sinusoid a band."""


class Event(NamedTuple):
    """First frame, the one behind the last, and the number of its label."""

    start: int
    end: int
    label: int


@dataclass(frozen=True)
class TrainingSoundscape:
    """Levels above the noise floor (FRAMES, N_MELS), as the detector takes them, and the events in order."""

    levels: Frames
    events: tuple[Event, ...]


def draw_soundscape(pool: SoundPool, shares: NDArray[np.float64], random: np.random.Generator) -> TrainingSoundscape:
    """Draw events one after another, each of a collection, a class of it, a recording of that.

    The label of an event is ``class * len(PITCHES) + pitch``.

    Args:
        pool: what is mixed.
        shares: how often each collection is drawn, (collections,).
        random: draws.
    """
    background = _background(pool, random)
    added, events = np.zeros_like(background), list[Event]()
    at = int(random.integers(5, 120))
    while at < FRAMES - 20 and len(events) < MOST_EVENTS:
        chosen = random.choice(np.flatnonzero(pool.collection_of == random.choice(len(shares), p=shares)))
        own = pool.events[chosen]
        pitch, power = _varied(own[random.integers(len(own))], random)
        power = power[: FRAMES - at]
        end = at + len(power)
        if end - at <= 2 * MARGIN:
            break
        level = background[at:end].sum() / (power[MARGIN:-MARGIN].sum() + 1e-9)
        added[at:end] += power * np.float32(level * 10.0 ** (random.uniform(*SNR) / 10.0))
        events.append(Event(at + MARGIN, end - MARGIN, int(chosen) * len(PITCHES) + pitch))
        at = end + int(random.integers(*(SHORT_PAUSES if random.random() < 0.5 else LONG_PAUSES)))
    phases = np.cos(random.uniform(0.0, 2.0 * np.pi, background.shape)).astype(np.float32)
    mixed = np.maximum(background + added + _CROSS * np.sqrt(background * added) * phases, 1e-12)
    return TrainingSoundscape(levels_above(mixed, noise_floor(mixed, UNIT // STEP)), tuple(events))


def _varied(event: Decibels, random: np.random.Generator) -> tuple[int, Frames]:
    """An event higher or lower, longer or shorter, through another channel: the number of its pitch, and its power."""
    levels = event.astype(np.float32)
    pitch, bands = 1, int(random.integers(-NEAR, NEAR + 1))
    if random.random() < MOVED:
        pitch = int(random.choice([0, 2]))
        bands = PITCHES[pitch] * int(random.integers(*FAR, endpoint=True))
    moved = np.full_like(levels, -120.0)
    moved[:, max(0, bands) : N_MELS + min(0, bands)] = levels[:, max(0, -bands) : N_MELS - max(0, bands)]
    count = len(moved)
    places = np.linspace(0, count - 1, max(2 * MARGIN + 1, int(count * random.uniform(*STRETCH))))
    before = np.minimum(places.astype(np.int64), count - 2)
    part = (places - before).astype(np.float32)[:, None]
    stretched = moved[before] * (1.0 - part) + moved[before + 1] * part + _curve(random, TILT, 5)
    if len(stretched) > CUT[1]:
        length = int(random.integers(*CUT))
        start = int(random.integers(len(stretched) - length))
        stretched = stretched[start : start + length]
    return pitch, _power(stretched)


def _background(pool: SoundPool, random: np.random.Generator) -> Frames:
    """One or two recordings, or pieces of several, through a channel, over the noise of one."""
    power = np.zeros((FRAMES, N_MELS), np.float32)
    for _ in range(1 + (random.random() < 0.4)):
        several = random.random() < 0.5
        parts: list[Frames] = []
        number = int(random.integers(len(pool.backgrounds)))
        while sum(len(part) for part in parts) < FRAMES:
            number = int(random.integers(len(pool.backgrounds))) if several else number
            own = pool.backgrounds[number]
            parts.append(_power(np.roll(own, int(random.integers(len(own))) if several else 0, axis=0)))
        power += np.concatenate(parts)[:FRAMES] * np.float32(10.0 ** (random.uniform(-10.0, 0.0) / 10.0))
    faint = random.uniform(-25.0, 0.0 if random.random() < 0.3 else -10.0)
    noise = random.exponential(1.0, power.shape) * _power(_curve(random, 9.0, 4)) * power.mean() * 10.0 ** (faint / 10)
    mixed: Frames = (power * _power(_curve(random, 9.0, 6)) + noise).astype(np.float32)
    return mixed


def _curve(random: np.random.Generator, most: float, points: int) -> Frames:
    """A curve over bands through random points of up to so many dB. Shape: -> (N_MELS,)."""
    places = np.linspace(0, N_MELS - 1, points)
    return np.interp(np.arange(N_MELS), places, random.uniform(-most, most, points)).astype(np.float32)


def _power(decibels: NDArray[np.floating]) -> Frames:
    power: Frames = np.power(np.float32(10.0), decibels.astype(np.float32) / np.float32(10.0))
    return power
