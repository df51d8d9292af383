"""The recognizer: a trained network, and the classes that a person enrolled with a few clips each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ModelConfig
from fewshot_audio.errors import DataError
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.diagnosis import Diagnosis, diagnose
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import (
    UNKNOWN,
    Classification,
    ClipInfo,
    Enrolled,
    EnrolledClass,
    EnrolledClip,
    Enrollment,
    check_name,
)
from fewshot_audio.recognition.scoring import Floats, clip_means, probabilities, row_scores, unknown_scores, votes

GROUP = 64  # segments whose features are in memory at once, unless one clip has more


class Recognizer:
    """Recognizes enrolled sounds, and says "unknown" of others, with a network trained on other classes.

    A clip is a path, a mono float array at ``sample_rate``, or a pair (array, rate); where clips are asked for, a
    sequence of those or a single one is given. Predictions are deterministic. Enrolling, removing or renaming a class
    touches no other.

    Clips that cannot be used raise DataError naming the file (or number of the array) and the reason.
    """

    def __init__(self, embedder: Embedder, model: ModelConfig, calibration: Calibration | None = None) -> None:
        self.embedder = embedder
        self.model = model
        self.calibration = calibration
        self._classes: dict[str, EnrolledClass] = {}  # replaced, never changed: readers in other threads see a whole

    @classmethod
    def from_run(
        cls,
        run_dir: str | Path,
        *,
        device: str = "cpu",
        data_root: str | Path | None = None,
        false_alarm: float = 0.05,
        progress: Progress = silent,
    ) -> Self:
        """Take the network of a trained run; no class is enrolled yet.

        Calibrates on the run's validation classes where its dataset folder is found below ``data_root`` (default: the
        run's own); without it probabilities are uncalibrated and nothing is "unknown". ``false_alarm`` is the share of
        known clips that may be called unknown.

        Raises DataError or ConfigError for a folder that is no run, and for a ``data_root`` without the dataset.
        """
        from fewshot_audio.recognition.from_run import open_run

        embedder, model, calibration = open_run(
            Path(run_dir), device, Path(data_root) if data_root else None, false_alarm, progress
        )
        return cls(embedder, model, calibration)

    @property
    def network(self) -> FewShotNetwork:
        """The network, in evaluation mode."""
        return self.embedder.network

    @property
    def preprocessing(self) -> Preprocessing:
        """The way from a recording to segments and features, as in training."""
        return self.embedder.preprocessing

    @property
    def sample_rate(self) -> int:
        """Rate of arrays that come without one, Hz."""
        return self.preprocessing.sample_rate

    @property
    def segment_seconds(self) -> float:
        """Length of a segment."""
        return self.preprocessing.segment_seconds

    @property
    def classes(self) -> list[str]:
        """Names of the enrolled classes, in the order of their enrollment."""
        return list(self._classes)

    @property
    def temperature(self) -> float:
        """Divides scores before the softmax; 1 where there is no calibration."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def unknown_threshold(self) -> float | None:
        """Unknown score above which the answer is "unknown"; None where there is no calibration."""
        return self.calibration.threshold if self.calibration else None

    @property
    def prototypes(self) -> Tensor:
        """Prototypes (n_classes, width), float32 on the CPU, in the order of ``classes``."""
        return self.snapshot().prototypes

    @property
    def reaches(self) -> Floats:
        """How far from each prototype a new clip of its class is expected (n_classes,); see ``scoring.reach``."""
        return self.snapshot().reaches

    def enroll(self, name: str, clips: Clips, *, replace: bool = False) -> Enrollment:
        """Add clips to a class, which is new, or gains them, or with ``replace`` has only them from now on."""
        check_name(name)
        added = [
            EnrolledClip(clip.name, len(clip.segments), rows, clip.silence) for clip, rows in self._embedded(clips)
        ]
        if not added:
            raise DataError(f"class {name!r}: no clips to enroll")
        before = self._classes[name].clips if name in self._classes and not replace else ()
        taken = {clip.name for clip in before}
        unique = []
        for clip in added:
            unique.append(EnrolledClip(_free_name(clip.name, taken), clip.segments, clip.rows, clip.silence))
            taken.add(unique[-1].name)
        self._classes = {**self._classes, name: EnrolledClass.of((*before, *unique))}
        return Enrollment(name, len(added), sum(clip.segments for clip in added), len(before) + len(added))

    def remove(self, name: str, clip: str | None = None) -> None:
        """Remove a class, or one clip of it (its last clip cannot be removed). Raises DataError where there is none."""
        known = self._class(name)
        if clip is None:
            self._classes = {other: kept for other, kept in self._classes.items() if other != name}
            return
        left = tuple(kept for kept in known.clips if kept.name != clip)
        if len(left) == len(known.clips):
            raise DataError(f"class {name!r} has no clip {clip!r}; it has {', '.join(c.name for c in known.clips)}")
        if not left:
            raise DataError(f"{clip!r} is the only clip of class {name!r}: remove the class instead")
        self._classes = {**self._classes, name: EnrolledClass.of(left)}

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; its place among the others stays. Raises DataError where ``new`` is taken."""
        self._class(old)
        check_name(new)
        if new != old and new in self._classes:
            raise DataError(f"class {new!r} is enrolled already: remove it first")
        self._classes = {new if name == old else name: known for name, known in self._classes.items()}

    def clips(self, name: str) -> list[ClipInfo]:
        """The enrolled clips of a class, each with its number of segments."""
        return [ClipInfo(clip.name, clip.segments) for clip in self._class(name).clips]

    def support_embeddings(self, name: str) -> NDArray[np.float32]:
        """Embeddings of a class's enrolled clips, (clips, width); the prototype is their mean."""
        return self._class(name).embeddings.numpy().copy()

    def embed(self, clips: Clips) -> NDArray[np.float32]:
        """Embed clips: (n, width), the mean over each clip's segments and rows."""
        embeddings: NDArray[np.float32] = clip_means([rows for _, rows in self._embedded(clips)]).numpy()
        return embeddings

    def classify(self, clips: Clips) -> list[Classification]:
        """Answer for each clip, with everything that the answer rests on."""
        return [answer for answer, _ in self.classify_with_embeddings(clips)]

    def classify_with_embeddings(self, clips: Clips) -> list[tuple[Classification, NDArray[np.float32]]]:
        """Answer for each clip as ``classify`` does, and its embedding (width,) as ``embed`` gives it."""
        known = self.snapshot()
        return [
            (self.judge(known, rows, len(clip.segments)), clip_means([rows])[0].numpy())
            for clip, rows in self._embedded(clips)
        ]

    def predict(self, clips: Clips) -> list[str]:
        """Answer for each clip: the name of an enrolled class, or "unknown"."""
        return [answer.label for answer in self.classify(clips)]

    def predict_proba(self, clips: Clips) -> Floats:
        """Probabilities (n, n_classes) of the enrolled classes, in the order of ``classes``; rows sum to 1."""
        return np.array([list(answer.probabilities.values()) for answer in self.classify(clips)])

    def diagnose(self) -> Diagnosis:
        """Judge each enrolled clip by the others: leave-one-out accuracy, outliers, collisions, silence, duplicates."""
        return diagnose(self.snapshot(), self.calibration, self.judge)

    def save(self, folder: str | Path) -> None:
        """Write a bundle: all that recognizing and enrolling further needs. An older bundle is replaced as a whole.

        Raises DataError where ``folder`` exists and is no bundle.
        """
        from fewshot_audio.recognition.bundle import save_bundle

        save_bundle(Path(folder), self.embedder, self.model, self.calibration, self._classes)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Read a bundle, made on whatever device. Raises DataError saying why a folder is refused."""
        from fewshot_audio.recognition.bundle import load_bundle

        embedder, model, calibration, classes = load_bundle(Path(folder), device)
        recognizer = cls(embedder, model, calibration)
        recognizer._classes = classes
        return recognizer

    @classmethod
    def pretrained(cls, name: str | None = None, device: str = "cpu") -> Self:
        """Load a recognizer that comes with the package, without classes; see its model card.

        Raises DataError where this installation has none, or several and no name is given.
        """
        from fewshot_audio.recognition.shipped import pretrained_folder

        return cls.load(pretrained_folder(name), device)

    def judge(self, enrolled: Enrolled, rows: Tensor, segments: int) -> Classification:
        """Answer for a clip whose segments are embedded as rows (segments x rows, width)."""
        counts = np.array([len(rows)])
        scores = row_scores(self.network, enrolled.prototypes, rows)
        best = list(enrolled.classes)[votes(scores, counts, self.embedder.experiment.tie_strategy)[0]]
        chances = probabilities(scores, counts, self.temperature)[0].tolist()
        distance = float(unknown_scores(rows.mean(0, keepdim=True), enrolled.prototypes, enrolled.reaches)[0])
        unknown = self.calibration is not None and distance > self.calibration.threshold
        label = UNKNOWN if unknown else best
        return Classification(label, best, dict(zip(enrolled.classes, chances, strict=True)), distance, segments)

    def _embedded(self, clips: Clips) -> Iterator[tuple[LoadedClip, Tensor]]:
        """Load and embed clips, a group at a time."""
        group: list[LoadedClip] = []
        for clip in load_clips(clips, self.preprocessing):
            group.append(clip)
            if sum(len(loaded.segments) for loaded in group) >= GROUP:
                yield from self._embed_group(group)
                group = []
        yield from self._embed_group(group)

    def _embed_group(self, group: list[LoadedClip]) -> Iterator[tuple[LoadedClip, Tensor]]:
        features = [self.embedder.features(clip.segments) for clip in group]
        yield from zip(group, self.embedder.clip_rows(features), strict=True)

    def _class(self, name: str) -> EnrolledClass:
        if name not in self._classes:
            found = ", ".join(map(repr, self._classes)) or "none"
            raise DataError(f"class {name!r} is not enrolled (enrolled: {found})")
        return self._classes[name]

    def snapshot(self) -> Enrolled:
        """The enrolled classes as they are now, for ``judge``. Raises DataError where there is none."""
        return Enrolled.of(self._classes, self.calibration.scatter if self.calibration else None)


def _free_name(name: str, taken: set[str]) -> str:
    """The name itself, or the first free one of "name (2)", "name (3)" ..."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
