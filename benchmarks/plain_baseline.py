"""What a person writes instead of a recognizer: MFCC statistics and logistic regression."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from joblib import Memory
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.arena_collections import ArenaClip

RATE, N_MFCC, WINDOW, LONGEST = 16_000, 20, 2048, 12.0


def mfcc_statistics(path: Path) -> NDArray[np.float64]:
    """Mean and deviation of 20 MFCC of a recording's first 12 s at 16 kHz, its peak at 1. Shape: (40,)."""
    recorded, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = recorded.mean(axis=1)[: int(LONGEST * rate)]
    samples = librosa.util.normalize(librosa.resample(mono, orig_sr=rate, target_sr=RATE))
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    coefficients = librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=N_MFCC)
    return np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)])


class PlainBaseline:
    """Standardizes the statistics of enrolled clips and fits logistic regression.

    Args:
        cache: folder that keeps statistics for another run; None keeps them in memory.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._compute = Memory(cache, verbose=0).cache(mfcc_statistics)
        self._statistics: dict[Path, NDArray[np.float64]] = {}

    def accuracy(self, enrolled: Mapping[str, Sequence[ArenaClip]], asked: Mapping[str, Sequence[ArenaClip]]) -> float:
        """Share of the clips asked that get their class."""
        train, labels = self._rows(enrolled)
        test, expected = self._rows(asked)
        mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
        factor = 6 / np.sqrt(train.shape[1])
        model: Any = LogisticRegression(max_iter=2000).fit((train - mean) / deviation * factor, labels)
        return float((model.predict((test - mean) / deviation * factor) == expected).mean())

    def _rows(self, clips: Mapping[str, Sequence[ArenaClip]]) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        pairs = [(clip.path, name) for name, members in clips.items() for clip in members]
        for path, _ in pairs:
            if path not in self._statistics:
                self._statistics[path] = self._compute(path)
        return np.stack([self._statistics[path] for path, _ in pairs]), np.array([name for _, name in pairs])
