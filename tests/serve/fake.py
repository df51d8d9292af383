"""A recognizer without a network: the nearest mean spectrum. Fast, deterministic, and right about plain tones."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json
from fewshot_audio.recognition.bundle import BundleChanged
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.diagnosis import ClipDiagnosis, Diagnosis
from fewshot_audio.recognition.enrolled import Classification

FILE = "recognizer.json"
Classes = dict[str, np.ndarray]
Change = Callable[[Classes], Classes]

SCALE = 60.0  # distance at which the unknown score is 1


class FakeRecognizer:
    """Implements ``fewshot_audio.serve.backend.Backend``."""

    unknown_threshold = 1.0

    def __init__(self) -> None:
        self.preprocessing = Preprocessing.of(segment_seconds=0.5)
        self.revision = 0
        self._classes: Classes = {}
        self._unsaved: list[Change] = []
        self._saved: dict[Path, bytes] = {}  # what a folder held when it was read or written last

    @property
    def classes(self) -> list[str]:
        return list(self._classes)

    def clips(self, name: str) -> Sequence[object]:
        return list(self._classes[name])

    def support_embeddings(self, name: str) -> np.ndarray:
        return self._classes[name]

    def _embed(self, clips: Clips) -> np.ndarray:
        features = [
            self.preprocessing.features(clip.segments) for clip in load_clips(clips, self.preprocessing, rate=16_000)
        ]
        return np.array([np.maximum(rows, -60).mean(axis=(0, 2)) for rows in features], dtype=np.float32)

    def enroll(self, name: str, clips: Clips) -> None:
        if name.casefold() == "unknown":
            raise DataError("'unknown' is the answer for other sounds")
        rows = self._embed(clips)
        none = np.empty((0, self.preprocessing.n_mels), dtype=np.float32)
        self._change(lambda classes: {**classes, name: np.concatenate([classes.get(name, none), rows])})

    def remove(self, name: str) -> None:
        if name not in self._classes:
            raise DataError(f"no class {name!r}")
        self._change(lambda classes: {other: rows for other, rows in classes.items() if other != name})

    def rename(self, old: str, new: str) -> None:
        self._change(lambda classes: {new if name == old else name: rows for name, rows in classes.items()})

    def _change(self, change: Change) -> None:
        self._classes = change(self._classes)
        self._unsaved.append(change)

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
        if not self._matches(folder):
            raise BundleChanged(f"{folder}: another program has changed it")
        write_json(folder / FILE, {name: rows.tolist() for name, rows in self._classes.items()})
        self.revision += 1
        self._saved[folder] = (folder / FILE).read_bytes()
        self._unsaved = []

    def is_current(self, folder: Path) -> bool:
        return self._matches(folder)

    def _matches(self, folder: Path) -> bool:
        path = folder / FILE
        return folder not in self._saved or (path.is_file() and path.read_bytes() == self._saved[folder])

    def refresh(self, folder: Path, *, undo: int = 0) -> None:
        latest = FakeRecognizer.load(folder)
        unsaved = self._unsaved[: len(self._unsaved) - undo]
        for change in unsaved:
            latest._classes = change(latest._classes)
        self._classes, self._saved, self._unsaved = latest._classes, latest._saved, unsaved
        self.revision += 1

    @classmethod
    def load(cls, folder: Path) -> "FakeRecognizer":
        recognizer = cls()
        content = (folder / FILE).read_bytes()
        recognizer._classes = {name: np.array(rows, dtype=np.float32) for name, rows in json.loads(content).items()}
        recognizer._saved[folder] = content
        recognizer.revision = 1
        return recognizer
