"""Recordings with calls whose times are known: rising chirps over noise, and falling ones that are no calls."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from fewshot_audio.events.annotation import Annotation

RATE = 22050
DURATION = 0.4


def chirp(low: float, high: float, seconds: float = DURATION) -> NDArray[np.float32]:
    """A sweep from one frequency to another, faded in and out."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds))
    edge = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
    return (np.sin(phase) * edge).astype(np.float32)


def write_recording(path: Path, *, seconds: float = 60.0, gain: float = 1.0, seed: int = 0) -> list[Annotation]:
    """Write a recording with a call every 3 s and another sound between; returns all calls."""
    random = np.random.default_rng(seed)
    samples = random.normal(0.0, 0.01, round(seconds * RATE)).astype(np.float32)
    calls = []
    for number, slot in enumerate(np.arange(1.0, seconds - 2.0, 1.5)):
        start = round((slot + random.uniform(0.0, 0.8)) * RATE)
        sound = chirp(2000.0, 4000.0) if number % 2 == 0 else chirp(6000.0, 5000.0)
        samples[start : start + len(sound)] += random.uniform(0.05, 0.2) * sound
        if number % 2 == 0:
            calls.append(Annotation(path, start / RATE, start / RATE + DURATION, "chirp"))
    soundfile.write(path, samples * gain, RATE, subtype="FLOAT")
    return calls
