"""Recordings that the tests make, and the ones that a stranger might send."""

import io

import numpy as np
import soundfile

RATE = 16_000


def tone(pitch: float, seconds: float = 0.6, seed: int = 0) -> np.ndarray:
    """A tone with a little noise, float64 (samples,)."""
    noise = np.random.default_rng(seed).normal(scale=0.02, size=round(seconds * RATE))
    return 0.4 * np.sin(2 * np.pi * pitch / RATE * np.arange(len(noise))) + noise


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    """A sound file's bytes."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def tone_wav(pitch: float, seed: int = 0, seconds: float = 0.6) -> bytes:
    return wav(tone(pitch, seconds, seed))
