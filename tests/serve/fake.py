"""A recognizer without a network: the nearest mean spectrum. Fast, deterministic, and right about plain tones."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.diagnosis import ClipDiagnosis, Diagnosis
from fewshot_audio.recognition.enrolled import Classification

SCALE = 60.0  # distance at which the unknown score is 1


class FakeRecognizer:
    """Implements ``fewshot_audio.serve.backend.Backend``."""

    unknown_threshold = 1.0

    def __init__(self) -> None:
        self.preprocessing = Preprocessing.of(segment_seconds=0.5)
        self._classes: dict[str, np.ndarray] = {}

    @property
    def classes(self) -> list[str]:
        return list(self._classes)

    def clips(self, name: str) -> Sequence[object]:
        return list(self._classes[name])

    def support_embeddings(self, name: str) -> np.ndarray:
        return self._classes[name]

    def _embed(self, clips: Clips) -> np.ndarray:
        features = [self.preprocessing.features(clip.segments) for clip in load_clips(clips, self.preprocessing)]
        return np.array([np.maximum(rows, -60).mean(axis=(0, 2)) for rows in features], dtype=np.float32)

    def enroll(self, name: str, clips: Clips) -> None:
        if name.casefold() == "unknown":
            raise DataError("'unknown' is the answer for other sounds")
        before = self._classes.get(name, np.empty((0, self.preprocessing.n_mels), dtype=np.float32))
        self._classes[name] = np.concatenate([before, self._embed(clips)])

    def remove(self, name: str) -> None:
        del self._classes[name]

    def rename(self, old: str, new: str) -> None:
        self._classes = {new if name == old else name: rows for name, rows in self._classes.items()}

    def classify_with_embeddings(self, clips: Sequence[LoadedClip]) -> list[tuple[Classification, np.ndarray]]:
        answers = []
        for clip, embedding in zip(clips, self._embed(clips), strict=True):
            distances = {
                name: float(np.linalg.norm(rows.mean(axis=0) - embedding)) for name, rows in self._classes.items()
            }
            weights = {name: float(np.exp(-distance / 20)) + 1e-9 for name, distance in distances.items()}
            best = min(distances, key=lambda name: distances[name])
            probabilities = {name: weight / sum(weights.values()) for name, weight in weights.items()}
            score = distances[best] / SCALE
            label = best if score <= self.unknown_threshold else "unknown"
            answers.append((Classification(label, best, probabilities, score, len(clip.segments)), embedding))
        return answers

    def diagnose(self) -> Diagnosis:
        clips = tuple(
            ClipDiagnosis(name, f"clip {number + 1}", 1, name, 0.5, 0.0, outlier=False, duplicate_of=None)
            for name, rows in self._classes.items()
            for number in range(len(rows))
        )
        return Diagnosis(1.0, dict.fromkeys(self._classes, 1.0), clips, ())

    def save(self, folder: Path) -> None:
        write_json(folder / "recognizer.json", {name: rows.tolist() for name, rows in self._classes.items()})

    @classmethod
    def load(cls, folder: Path) -> "FakeRecognizer":
        recognizer = cls()
        saved = json.loads((folder / "recognizer.json").read_text())
        recognizer._classes = {name: np.array(rows, dtype=np.float32) for name, rows in saved.items()}
        return recognizer
