"""The recognizer: a trained network, and the classes that a person enrolled with a few clips each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import DataError
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.clips import Clips
from fewshot_audio.recognition.diagnosis import Diagnosis, diagnose
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import (
    UNKNOWN,
    Classification,
    ClipSummary,
    Enrolled,
    EnrolledClass,
    EnrolledClip,
    Enrollment,
    add_clips,
    check_name,
)
from fewshot_audio.recognition.scoring import Floats, clip_means, probabilities, row_scores, unknown_scores, votes


class Recognizer:
    """Recognizes enrolled sounds, and answers "unknown" for others, with a network trained on other classes.

    A clip is a path, a mono array at ``sample_rate``, a pair (array, rate), or a ``LoadedClip``. Methods that take
    ``clips`` take one of them or a sequence, and raise DataError for a clip that cannot be used: it names the file, or
    the number of the array, and the reason. Answers are deterministic. Enrolling, removing or renaming a class changes
    no other class. Recognizers are made by ``from_run``, ``load`` or ``shipped``.

    Args:
        embedder: the network, its preprocessing and its frozen views.
        experiment: the config that the network was built and trained by.
        model: its model config.
        calibration: numbers of the validation classes; without it nothing is "unknown".
        classes: the enrolled classes by name; none if left out.

    Example:
        >>> recognizer = Recognizer.shipped()  # doctest: +SKIP
        >>> recognizer.enroll("door", ["door-1.wav", "door-2.wav"])  # doctest: +SKIP
        >>> recognizer.predict("new.wav")  # doctest: +SKIP
        ['door']
    """

    def __init__(
        self,
        embedder: Embedder,
        experiment: ExperimentConfig,
        model: ModelConfig,
        calibration: Calibration | None = None,
        classes: Mapping[str, EnrolledClass] | None = None,
    ) -> None:
        self.embedder = embedder
        self.experiment = experiment
        self.model = model
        self.calibration = calibration
        self._classes = dict(classes or {})  # replaced, never changed: other threads see all or nothing

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

        It is calibrated on the run's validation classes if the run's dataset folder is found.

        Args:
            run_dir: the run's folder.
            device: "cpu", "cuda" or "auto".
            data_root: folder of the dataset folders; default the run's own, if it is still there.
            false_alarm: share of clips of enrolled classes that may be called unknown.
            progress: reports the clips embedded and the tasks done.

        Raises:
            DataError: the folder is no run, or ``data_root`` lacks the dataset.
            ConfigError: the device is not usable.
        """
        from fewshot_audio.recognition.from_run import open_run

        return cls(*open_run(Path(run_dir), device, Path(data_root) if data_root else None, false_alarm, progress))

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Read a bundle, which may have been made on another device.

        Raises:
            DataError: the folder is no bundle, or a bundle that cannot be trusted; says why.
            ConfigError: the device is not usable.
        """
        from fewshot_audio.recognition.bundle.read import load_bundle

        return cls(*load_bundle(Path(folder), device))

    @classmethod
    def shipped(cls, name: str | None = None, device: str = "cpu") -> Self:
        """Load a recognizer that comes with the package, without classes; see its model card.

        Raises:
            DataError: this installation has none of that name, or several and no name is given.
        """
        from fewshot_audio.recognition.shipped import shipped_folder

        return cls.load(shipped_folder(name), device)

    @classmethod
    def pretrained(cls, name: str | None = None, device: str = "cpu") -> Self:
        """The former name of ``shipped``."""
        return cls.shipped(name, device)

    def save(self, folder: str | Path) -> None:
        """Write a bundle: all that recognizing and enrolling further needs. An older bundle is replaced as a whole.

        Raises:
            DataError: ``folder`` exists and is neither empty nor a bundle.
        """
        from fewshot_audio.recognition.bundle.write import save_bundle

        save_bundle(Path(folder), self.embedder, self.experiment, self.model, self.calibration, self._classes)

    @property
    def network(self) -> FewShotNetwork:
        """The network, in evaluation mode."""
        return self.embedder.network

    @property
    def preprocessing(self) -> Preprocessing:
        """How recordings become segments and features, as in training."""
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
        """Divides scores before the softmax; 1 without a calibration."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def unknown_threshold(self) -> float | None:
        """Unknown score above which the answer is "unknown"; None without a calibration."""
        return self.calibration.threshold if self.calibration else None

    @property
    def prototypes(self) -> Tensor:
        """Prototypes (n_classes, width), float32 on the CPU, in the order of ``classes``."""
        return self.snapshot().prototypes

    @property
    def expected_distances(self) -> Floats:
        """Distance from each prototype at which a new clip of its class is expected, (n_classes,).

        Unknown scores are in these units; see ``scoring.expected_distance``.
        """
        return self.snapshot().expected_distances

    @property
    def reaches(self) -> Floats:
        """The former name of ``expected_distances``."""
        return self.expected_distances

    def enroll(self, name: str, clips: Clips, *, replace: bool = False) -> Enrollment:
        """Add clips to a class, new or not; with ``replace`` it has only these from now on.

        Raises:
            DataError: the name cannot be one of a class, there is no clip, or a clip cannot be used.
        """
        check_name(name)
        new = [
            EnrolledClip(clip.name, len(clip.segments), rows, clip.silence)
            for clip, rows in self.embedder.embed_clips(clips)
        ]
        if not new:
            raise DataError(f"class {name!r}: no clips to enroll")
        former = self._classes[name].clips if name in self._classes and not replace else ()
        self._classes = {**self._classes, name: EnrolledClass.of(add_clips(former, new))}
        return Enrollment(name, len(new), sum(clip.segments for clip in new), len(former) + len(new))

    def remove(self, name: str, clip: str | None = None) -> None:
        """Remove a class, or one clip of it.

        Raises:
            DataError: there is no such class or clip, or it is the class's only clip.
        """
        clips = self._class(name).clips
        if clip is None:
            self._classes = {other: value for other, value in self._classes.items() if other != name}
            return
        rest = tuple(other for other in clips if other.name != clip)
        if len(rest) == len(clips):
            raise DataError(f"class {name!r} has no clip {clip!r}; it has {', '.join(c.name for c in clips)}")
        if not rest:
            raise DataError(f"{clip!r} is the only clip of class {name!r}: remove the class instead")
        self._classes = {**self._classes, name: EnrolledClass.of(rest)}

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; its place among the classes stays.

        Raises:
            DataError: there is no class ``old``, or ``new`` is taken or cannot be the name of a class.
        """
        self._class(old)
        check_name(new)
        if new != old and new in self._classes:
            raise DataError(f"class {new!r} is enrolled already: remove it first")
        self._classes = {new if name == old else name: value for name, value in self._classes.items()}

    def clips(self, name: str) -> list[ClipSummary]:
        """The enrolled clips of a class, each with its number of segments."""
        return [ClipSummary(clip.name, clip.segments) for clip in self._class(name).clips]

    def support_embeddings(self, name: str) -> NDArray[np.float32]:
        """Embeddings of a class's enrolled clips, (clips, width); the prototype is their mean."""
        return self._class(name).embeddings.numpy().copy()

    def embed(self, clips: Clips) -> NDArray[np.float32]:
        """Embed clips: (n, width), the mean over each clip's segments and rows."""
        embeddings: NDArray[np.float32] = clip_means([rows for _, rows in self.embedder.embed_clips(clips)]).numpy()
        return embeddings

    def classify(self, clips: Clips) -> list[Classification]:
        """Answer for each clip: label, probabilities of the enrolled classes, and unknown score."""
        return [answer for answer, _ in self.classify_with_embeddings(clips)]

    def classify_with_embeddings(self, clips: Clips) -> list[tuple[Classification, NDArray[np.float32]]]:
        """Answer for each clip as ``classify`` does, with its embedding (width,) as ``embed`` gives it."""
        enrolled = self.snapshot()
        return [
            (self.judge(enrolled, rows, len(clip.segments)), clip_means([rows])[0].numpy())
            for clip, rows in self.embedder.embed_clips(clips)
        ]

    def predict(self, clips: Clips) -> list[str]:
        """Answer for each clip: the name of an enrolled class, or "unknown"."""
        return [answer.label for answer in self.classify(clips)]

    def predict_proba(self, clips: Clips) -> Floats:
        """Probabilities (n, n_classes) of the enrolled classes, in the order of ``classes``; rows sum to 1."""
        return np.array([list(answer.probabilities.values()) for answer in self.classify(clips)])

    def diagnose(self) -> Diagnosis:
        """Classify each enrolled clip by the others: accuracy, outliers, collisions, silence, duplicates."""
        return diagnose(self.snapshot(), self.calibration, self.judge)

    def snapshot(self) -> Enrolled:
        """The enrolled classes as they are now, to answer by them later. Raises DataError if there is none."""
        return Enrolled.of(self._classes, self.calibration.scatter if self.calibration else None)

    def judge(self, enrolled: Enrolled, rows: Tensor, segments: int) -> Classification:
        """Answer, by a ``snapshot``, for a clip that is embedded as rows (segments x rows, width)."""
        counts = np.array([len(rows)])
        scores = row_scores(self.network, enrolled.prototypes, rows)
        best = list(enrolled.classes)[votes(scores, counts, self.experiment.tie_strategy)[0]]
        values = probabilities(scores, counts, self.temperature)[0].tolist()
        embedding = rows.mean(0, keepdim=True)
        distance = float(unknown_scores(embedding, enrolled.prototypes, enrolled.expected_distances)[0])
        label = UNKNOWN if self.calibration and distance > self.calibration.threshold else best
        return Classification(label, best, dict(zip(enrolled.classes, values, strict=True)), distance, segments)

    def _class(self, name: str) -> EnrolledClass:
        if name not in self._classes:
            enrolled = ", ".join(map(repr, self._classes)) or "none"
            raise DataError(f"class {name!r} is not enrolled (enrolled: {enrolled})")
        return self._classes[name]
