"""Synthetic recordings of the fixtures, the same whenever they are made: what is expected rests on them.

Never to be changed. A recording is computed from a kind and a take: a beating tone with an overtone that falls, stays
or rises, under noise.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000
KINDS = ("bell", "buzz", "chirp", "creak", "drone", "hum", "rattle?", "siren", "tick")
CHANGED = 1_700_000_000  # when the prepared recordings were last changed: `prepare` knows them by size and time

Audio = NDArray[np.float32]


def sound(kind: int, take: int, seconds: float) -> Audio:
    """One recording of a kind, (samples,) at ``RATE``."""
    random = np.random.default_rng([kind, take])
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 150 * 1.35**kind * random.uniform(0.9, 1.1)
    phase = 2 * np.pi * pitch * (time + 0.6 * (kind % 3 - 1) * time**2)
    beat = 0.6 + 0.4 * np.sin(2 * np.pi * (6 + 5 * (kind % 4)) * time + random.uniform(0, 6))
    noise = random.normal(scale=0.1, size=len(time))
    return np.asarray(0.2 * beat * (np.sin(phase) + 0.5 * np.sin(2 * phase)) + noise, np.float32)


def write_wav(path: Path, samples: Audio) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16", format="WAV")
    return path


def write_recordings(root: Path, clips: Mapping[str, int], segment: float) -> Path:
    """Write ``root/<kind>/<take>.wav``, every fourth take two segments long, and inputs that cannot be used."""
    for kind, name in enumerate(KINDS):
        for take in range(clips[name]):
            write_wav(root / name / f"take-{take}.wav", sound(kind, take, segment * (1.8 if take % 4 == 3 else 0.9)))
    write_wav(root / "bell" / "silent.wav", np.zeros(RATE // 2, np.float32))
    write_wav(root / "buzz" / "short.wav", sound(1, 99, 0.02))
    (root / "chirp" / "broken.wav").write_bytes(b"RIFF, but no sound")
    (root / "notes.txt").write_text("not a recording\n")
    for path in root.rglob("*"):
        os.utime(path, (CHANGED, CHANGED))
    return root


def write_support(root: Path, segment: float) -> Path:
    """Write a folder of three classes to enroll, of 3, 2 and 2 recordings."""
    for kind, takes in ((0, 3), (4, 2), (7, 2)):
        for take in range(takes):
            seconds = segment * (1.8 if take == 1 else 0.9)
            write_wav(root / f"class {KINDS[kind]}" / f"{take}.wav", sound(kind, 100 + take, seconds))
    return root


def questions(segment: float) -> list[Audio]:
    """Five recordings to classify: one of each enrolled class, the second two segments long, and two of none."""
    asked = [sound(0, 200, segment), sound(4, 200, 1.8 * segment), sound(7, 200, segment), sound(2, 200, segment)]
    return [*asked, np.random.default_rng(7).normal(size=round(0.7 * segment * RATE)).astype(np.float32)]
