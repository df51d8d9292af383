"""The recognizer: a trained network, and the classes that a person enrolled with a few clips each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.answer import answer
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.changes import AddClips, Change, ChangeLog, Remove, Rename
from fewshot_audio.recognition.clips import Clips
from fewshot_audio.recognition.current_decision import CurrentDecision
from fewshot_audio.recognition.decision.choose import Head, HeadChoice
from fewshot_audio.recognition.decision.encoder_choice import EncoderCandidate
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.diagnosis import Diagnosis, diagnose
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoder_blocks import encoder_names
from fewshot_audio.recognition.encoder_choosing import chosen_encoders
from fewshot_audio.recognition.encoders import ClipEncoders, Encoded
from fewshot_audio.recognition.enrolled import (
    Classification,
    Enrolled,
    EnrolledClass,
    EnrolledClip,
    Enrollment,
    checked_name,
)
from fewshot_audio.recognition.facts import RecognizerFacts
from fewshot_audio.recognition.options import Backend
from fewshot_audio.recognition.parts import RecognizerParts
from fewshot_audio.recognition.scoring import Floats, Rows, clip_means


class Recognizer(RecognizerFacts):
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
        decision: how clips are told apart; if left out, it is chosen from the enrolled clips when first needed.
        encoders: frozen encoders that decide beside the network; none if left out.

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
        decision: DecisionState | None = None,
        encoders: ClipEncoders | None = None,
    ) -> None:
        self.embedder = embedder
        self.experiment = experiment
        self.model = model
        self.calibration = calibration
        self._classes: Mapping[str, EnrolledClass] = dict(classes or {})  # replaced, never changed: for other threads
        self._decision = CurrentDecision(embedder, calibration, self._classes, decision)
        self.encoders = encoders or ClipEncoders()
        self._log = ChangeLog()

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

        Args:
            run_dir: its folder. It is calibrated on the validation classes of the dataset, if that is found.
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
    def load(cls, folder: str | Path, device: str = "cpu", *, backend: Backend = "torch") -> Self:
        """Read a bundle; with ``backend`` "auto" its graph computes embeddings, not torch, if this user has one.

        Raises:
            DataError: the folder is no bundle, or a bundle that cannot be trusted; says why.
            ConfigError: the device is not usable.
        """
        from fewshot_audio.recognition.bundle.read import load_bundle

        loaded = load_bundle(Path(folder), device, backend)
        recognizer = cls(*loaded.parts)
        recognizer._log.saved(Path(folder), loaded.state)
        return recognizer

    @classmethod
    def shipped(cls, name: str | None = None, device: str = "cpu") -> Self:
        """Load a recognizer that comes with the package, without classes. Raises DataError if ``name`` names none."""
        from fewshot_audio.recognition.shipped import shipped_folder

        return cls.load(shipped_folder(name), device)

    @classmethod
    def pretrained(cls, name: str | None = None, device: str = "cpu") -> Self:
        """The former name of ``shipped``."""
        return cls.shipped(name, device)

    def save(self, folder: str | Path, *, is_new: bool = False) -> None:
        """Write a bundle: all that recognizing and enrolling further needs. An older one is replaced, other files stay.

        Raises:
            DataError: ``folder`` exists and is neither empty nor a bundle, or another program is writing to it.
            BundleChanged: another program has written it since it was loaded or saved here (see ``refresh``), or there
                is one although ``is_new`` says that there was none.
            WriteError: a file cannot be written; the folder holds what it held before.
        """
        from fewshot_audio.recognition.bundle.write import save_bundle

        folder = Path(folder)
        decision = self._decision.of(self._classes)
        parts = RecognizerParts(
            self.embedder, self.experiment, self.model, self.calibration, self._classes, decision, self.encoders
        )
        self._log.saved(folder, save_bundle(folder, parts, self._log.state(folder), is_new=is_new))

    def refresh(self, folder: str | Path, *, undo: int = 0) -> None:
        """Read a bundle again that another program has written, and make the changes that were not saved on it.

        The last ``undo`` of those changes are dropped.

        Raises:
            DataError: it cannot be read, holds another network than the one that unsaved clips were embedded by, or a
                change cannot be made, such as that of a class which is not there any more; nothing has changed.
        """
        from fewshot_audio.recognition.bundle.read import load_bundle

        folder = Path(folder)
        loaded = load_bundle(folder, self.embedder.device, self.embedder.backend)
        encoders = loaded.parts.encoders
        same = encoders.digests == self.encoders.digests
        classes = self._log.on_another_state(folder, loaded.state, loaded.parts.classes, undo, same_encoders=same)
        self.embedder, self.experiment, self.model, self.calibration, _, decision, _ = loaded.parts
        self.encoders = self.encoders if same else encoders
        self._decision = CurrentDecision(self.embedder, self.calibration, loaded.parts.classes, decision)
        self._classes = classes

    def enroll(self, name: str, clips: Clips, *, replace: bool = False) -> Enrollment:
        """Add clips to a class, new or not; with ``replace`` it has only these from now on.

        Raises:
            DataError: the name cannot be one of a class, there is no clip, or a clip cannot be used.
        """
        name = checked_name(name)
        new = [
            EnrolledClip(
                clip.name,
                len(clip.segments),
                rows,
                clip.silence,
                clip.timbre(self.sample_rate),
                clip.encoded(self.encoders, self.sample_rate),
            )
            for clip, rows in self.embedder.embed_clips(clips)
        ]
        if not new:
            raise DataError(f"class {name!r}: no clips to enroll")
        self._change(AddClips(name, tuple(new), replace))
        return Enrollment(name, len(new), sum(clip.segments for clip in new), len(self._classes[name].clips))

    def remove(self, name: str, clip: str | None = None) -> None:
        """Remove a class, or one clip of it.

        Raises:
            DataError: there is no such class or clip, or it is the class's only clip.
        """
        self._change(Remove(name, clip))

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; its place among the classes stays.

        Raises:
            DataError: there is no class ``old``, or ``new`` is taken or cannot be the name of a class.
        """
        self._change(Rename(old, new))

    def embed(self, clips: Clips) -> NDArray[np.float32]:
        """Embed clips: (n, width), the mean over each clip's segments and rows."""
        return clip_means([rows for _, rows in self.embedder.embed_clips(clips)])

    def classify(self, clips: Clips) -> list[Classification]:
        """Answer for each clip: label, probabilities of the enrolled classes, and unknown score."""
        return [answer for answer, _ in self.classify_with_embeddings(clips)]

    def classify_with_embeddings(self, clips: Clips) -> list[tuple[Classification, NDArray[np.float32]]]:
        """Answer for each clip as ``classify`` does, with its embedding (width,) as ``embed`` gives it."""
        enrolled, answers = self.snapshot(), []
        for clip, rows in self.embedder.embed_clips(clips):
            timbre = clip.timbre(self.sample_rate) if enrolled.needs_timbre else None  # it takes longer than embedding
            encoded = clip.encoded(self.encoders, self.sample_rate, enrolled.encoders)
            answers.append((self.judge(enrolled, rows, len(clip.segments), timbre, encoded), clip_means([rows])[0]))
        return answers

    def predict(self, clips: Clips) -> list[str]:
        """Answer for each clip: the name of an enrolled class, or "unknown"."""
        return [answer.label for answer in self.classify(clips)]

    def predict_proba(self, clips: Clips) -> Floats:
        """Probabilities (n, n_classes) of the enrolled classes, in the order of ``classes``; rows sum to 1."""
        return np.array([list(answer.probabilities.values()) for answer in self.classify(clips)])

    def diagnose(self) -> Diagnosis:
        """Classify each enrolled clip by the others: accuracy, outliers, collisions, silence, duplicates."""
        return diagnose(self.snapshot(), self.calibration, self.judge, self._decision.of(self._classes).choice)

    def judge(
        self,
        enrolled: Enrolled,
        rows: Rows,
        segments: int,
        timbre: NDArray[np.float32] | None = None,
        encoded: Encoded | None = None,
    ) -> Classification:
        """Answer, by a ``snapshot``, for a clip that is embedded as rows (segments x rows, width).

        Its timbre, and its rows by frozen encoders, are needed if they count in the decision.
        """
        return answer(enrolled, rows, segments, timbre, self.embedder, self.calibration, encoded)

    def choose_head(self, head: Head | None = None) -> HeadChoice | None:
        """Measure all heads on the enrolled clips, and decide by the best from now on; or by ``head``, if given.

        A head is chosen when an answer first needs it, and anew when as many clips have come or gone as it was chosen
        on; this is for choosing at another time.

        Returns:
            The measured accuracies; None if the enrolled clips allow for prototypes only.
        """
        return self._decision.choose(self._classes, head)

    def use_encoders(self, names: Sequence[str], *, embed: bool = False) -> None:
        """Decide with frozen encoders of this user from now on; with ``embed`` bundles hold their files.

        Raises:
            ConfigError: one is not installed.
            DataError: clips are enrolled that other encoders have embedded.
        """
        encoders = ClipEncoders.named(names, embed=embed)
        if self._classes and encoders.digests != self.encoders.digests:
            raise DataError(
                f"the enrolled clips were embedded by {self.encoders}, not by {encoders}: enroll "
                "them anew, into another recognizer"
            )
        self.encoders = encoders

    def choose_encoders(self) -> list[EncoderCandidate]:
        """Judge sets of the frozen encoders on the enrolled clips, and decide with the chosen one from now on.

        Returns:
            The candidates; none if the enrolled clips allow for prototypes only, which do without encoders.
        """
        candidates, classes = chosen_encoders(self._classes, list(self.encoders.descriptions))
        for candidate in candidates:
            if candidate.is_chosen:
                self.encoders = self.encoders.only(encoder_names(candidate.blocks))
        self._classes = classes
        return candidates

    def _change(self, change: Change) -> None:
        self._classes = change.apply(self._classes)
        self._log.add(change)
