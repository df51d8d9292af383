"""A recognizer without a network: the nearest mean spectrum. Fast, deterministic, and right about plain tones."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json
from fewshot_audio.recognition.audio_store import encode_clip
from fewshot_audio.recognition.bundle import BundleChanged
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.diagnosis import ClipDiagnosis, Diagnosis
from fewshot_audio.recognition.enrolled import Classification, ClipSummary

FILE = "recognizer.json"
Classes = dict[str, np.ndarray]


class State(NamedTuple):
    """What is enrolled: embeddings of the classes and, by name, of the background; and ignored classes."""

    classes: Classes
    background: Classes
    ignored: frozenset[str]
    names: dict[str, tuple[str, ...]]  # of the clips of each class
    sounds: Mapping[tuple[str, str], bytes] = MappingProxyType({})  # that are kept, by class and clip
    keeps_audio: bool | None = None


Change = Callable[[State], State]

SCALE = 60.0  # distance at which the unknown score is 1


class FakeRecognizer:
    """Implements ``fewshot_audio.serve.backend.Backend``."""

    unknown_threshold = 1.0

    def __init__(self) -> None:
        self.preprocessing = Preprocessing.of(segment_seconds=0.5)
        self.revision = 0
        self._state = State({}, {}, frozenset(), {})
        self._unsaved: list[Change] = []
        self._history: list[State] = []
        self._saved: dict[Path, bytes] = {}  # what a folder held when it was read or written last

    @property
    def classes(self) -> list[str]:
        return list(self._classes)

    @property
    def _classes(self) -> Classes:
        return self._state.classes

    @property
    def ignored(self) -> list[str]:
        return [name for name in self._classes if name in self._state.ignored]

    @property
    def background(self) -> list[ClipSummary]:
        return [ClipSummary(name, len(rows)) for name, rows in self._state.background.items()]

    def ignore(self, name: str, ignored: bool) -> None:
        self._change(
            lambda state: state._replace(ignored=state.ignored | {name} if ignored else state.ignored - {name})
        )

    def enroll_background(self, clips: Clips) -> None:
        loaded = list(load_clips(clips, self.preprocessing, rate=16_000))
        new = {clip.name: row[None] for clip, row in zip(loaded, self._embed(loaded), strict=True)}
        self._change(lambda state: state._replace(background={**state.background, **new}))

    def remove_background(self, clip: str) -> None:
        def without(state: State) -> State:
            return state._replace(background={name: row for name, row in state.background.items() if name != clip})

        self._change(without)

    def clips(self, name: str) -> Sequence[object]:
        return [ClipSummary(clip, 1) for clip in self._state.names[name]]

    @property
    def keeps_audio(self) -> bool | None:
        return self._state.keeps_audio

    @property
    def audio_bytes(self) -> int:
        return sum(map(len, self._state.sounds.values()))

    def keep_audio(self, keeps: bool) -> None:
        self._change(lambda state: state._replace(keeps_audio=keeps, sounds=state.sounds if keeps else {}))

    def clips_with_audio(self, name: str) -> list[str]:
        return [clip for own, clip in self._state.sounds if own == name]

    def clip_audio(self, name: str, clip: str) -> bytes | None:
        return self._state.sounds.get((name, clip))

    def support_embeddings(self, name: str) -> np.ndarray:
        return self._classes[name]

    def _embed(self, clips: Clips) -> np.ndarray:
        features = [
            self.preprocessing.features(clip.segments) for clip in load_clips(clips, self.preprocessing, rate=16_000)
        ]
        return np.array([np.maximum(rows, -60).mean(axis=(0, 2)) for rows in features], dtype=np.float32)

    def enroll(self, name: str, clips: Clips, *, rate: float = 16_000) -> None:
        if name.casefold() == "unknown":
            raise DataError("'unknown' is the answer for other sounds")
        loaded = list(load_clips(clips, self.preprocessing, rate=16_000))
        rows, new = self._embed(loaded), tuple(clip.name for clip in loaded)

        def added(state: State) -> State:
            former = [state.classes[name]] if name in state.classes else []
            names = {**state.names, name: (*state.names.get(name, ()), *new)}
            kept = {(name, clip.name): encode_clip(clip, self.preprocessing) or b"" for clip in loaded}
            sounds = {**state.sounds, **(kept if state.keeps_audio else {})}
            return state._replace(
                classes={**state.classes, name: np.concatenate([*former, rows])}, names=names, sounds=sounds
            )

        self._change(added)

    def remove(self, name: str, clip: str | None = None) -> None:
        if name not in self._classes:
            raise DataError(f"no class {name!r}")

        def removed(state: State) -> State:
            kept = [number for number, own in enumerate(state.names[name]) if clip is not None and own != clip]
            classes, names = dict(state.classes), dict(state.names)
            if not kept:
                del classes[name], names[name]
            else:
                classes[name], names[name] = classes[name][kept], tuple(names[name][number] for number in kept)
            return state._replace(classes=classes, names=names)

        self._change(removed)

    def rename(self, old: str, new: str) -> None:
        def renamed(state: State) -> State:
            classes, names = (
                {new if name == old else name: values for name, values in part.items()}
                for part in (state.classes, state.names)
            )
            return state._replace(classes=classes, names=names)

        self._change(renamed)

    def rename_clip(self, name: str, clip: str, new: str) -> None:
        def renamed(state: State) -> State:
            own = tuple(new if other == clip else other for other in state.names[name])
            return state._replace(names={**state.names, name: own})

        self._change(renamed)

    def move_clip(self, name: str, clip: str, new_class: str) -> None:
        row = self._classes[name][self._state.names[name].index(clip)]
        self.remove(name, clip)

        def added(state: State) -> State:
            former = [state.classes[new_class]] if new_class in state.classes else []
            names = {**state.names, new_class: (*state.names.get(new_class, ()), clip)}
            rows = np.concatenate([*former, row[None]])
            return state._replace(classes={**state.classes, new_class: rows}, names=names)

        self._change(added)
        self._history.pop()

    def undo(self) -> None:
        former = self._history.pop()
        self._change(lambda _: former)
        self._history.pop()

    def _change(self, change: Change) -> None:
        self._history.append(self._state)
        self._state = change(self._state)
        self._unsaved.append(change)

    def classify_with_embeddings(self, clips: Sequence[LoadedClip]) -> list[tuple[Classification, np.ndarray]]:
        answers = []
        for clip, embedding in zip(clips, self._embed(clips), strict=True):
            distances = {
                name: float(np.linalg.norm(rows.mean(axis=0) - embedding))
                for name, rows in self._classes.items()
                if name not in self._state.ignored
            }
            weights = {name: float(np.exp(-distance / 20)) + 1e-9 for name, distance in distances.items()}
            best = min(distances, key=lambda name: distances[name])
            probabilities = dict.fromkeys(self._classes, 0.0)
            probabilities |= {name: weight / sum(weights.values()) for name, weight in weights.items()}
            score, background = distances[best] / SCALE, None
            if self._state.background or self._state.ignored:
                others = [*self._state.background.values(), *(self._classes[name] for name in self._state.ignored)]
                nearest = min(float(np.linalg.norm(rows.mean(axis=0) - embedding)) for rows in others)
                background = distances[best] / (distances[best] + nearest + 1e-9)
                score = max(score, background / (1 - background + 1e-9))
            label = best if score <= self.unknown_threshold else "unknown"
            answers.append(
                (Classification(label, best, probabilities, score, len(clip.segments), background), embedding)
            )
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
        classes, background = (
            {name: rows.tolist() for name, rows in own.items()} for own in (self._classes, self._state.background)
        )
        write_json(
            folder / FILE,
            {"classes": classes, "background": background, "ignored": self.ignored, "names": self._state.names},
        )
        self.revision += 1
        self._saved[folder] = (folder / FILE).read_bytes()
        self._unsaved = []

    def save_copy(self, folder: Path, *, with_audio: bool = False) -> None:
        copy = FakeRecognizer()
        copy._state = self._state
        copy.save(folder)

    def is_current(self, folder: Path) -> bool:
        return self._matches(folder)

    def _matches(self, folder: Path) -> bool:
        path = folder / FILE
        return folder not in self._saved or (path.is_file() and path.read_bytes() == self._saved[folder])

    def refresh(self, folder: Path, *, undo: int = 0) -> None:
        latest = FakeRecognizer.load(folder)
        unsaved = self._unsaved[: len(self._unsaved) - undo]
        for change in unsaved:
            latest._state = change(latest._state)
        self._history = []
        self._state, self._saved, self._unsaved = latest._state, latest._saved, unsaved
        self.revision += 1

    @classmethod
    def load(cls, folder: Path) -> "FakeRecognizer":
        recognizer = cls()
        content = (folder / FILE).read_bytes()
        saved = json.loads(content)
        classes, background = (
            {name: np.array(rows, dtype=np.float32) for name, rows in saved[part].items()}
            for part in ("classes", "background")
        )
        names = {name: tuple(clips) for name, clips in saved["names"].items()}
        recognizer._state = State(classes, background, frozenset(saved["ignored"]), names)
        recognizer._saved[folder] = content
        recognizer.revision = 1
        return recognizer
