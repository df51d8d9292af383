"""The recognizer: a trained network, and the classes that a person enrolled with a few clips each."""

from collections import deque
from pathlib import Path
from typing import Self

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.audio_store import AudioStore
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.change_log import ChangeLog
from fewshot_audio.recognition.changes import MOST_UNDONE
from fewshot_audio.recognition.current_decision import CurrentDecision
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoder_choosing import with_only_encoders
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.enrolled import EnrolledSounds
from fewshot_audio.recognition.enrolling import EnrollingRecognizer
from fewshot_audio.recognition.facts import Holding
from fewshot_audio.recognition.options import Backend, ScanOptions
from fewshot_audio.recognition.parts import RecognizerParts
from fewshot_audio.recognition.results import FileResult


class Recognizer(EnrollingRecognizer):
    """Recognizes enrolled sounds, and answers "unknown" for others, with a network trained on other classes.

    A clip is a path, a pair (array, rate) of samples and their rate in Hz, or a ``LoadedClip``; with ``rate=`` an array
    may come alone. Arrays are mono, or have channels on either axis. Methods that take ``clips`` take one of them or a
    sequence, and raise DataError for a clip that cannot be used: it names the file, or the number of the array, and the
    reason. Answers are deterministic. Enrolling, removing or renaming a class changes no other class. Recognizers are
    made by ``from_run``, ``load``, ``shipped`` or ``from_pretrained``.

    Args:
        embedder: the network, its preprocessing and its frozen views.
        experiment: the config that the network was built and trained by.
        model: its model config.
        calibration: numbers of the validation classes; without it nothing is "unknown".
        sounds: what is enrolled; nothing if left out.
        decision: how clips are told apart; if left out, it is chosen from the enrolled clips when first needed.
        encoders: frozen encoders that decide beside the network; none if left out.
        audio: the files of the sound that is kept of clips; none if left out.

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
        sounds: EnrolledSounds | None = None,
        decision: DecisionState | None = None,
        encoders: ClipEncoders | None = None,
        audio: AudioStore | None = None,
    ) -> None:
        self.embedder = embedder
        self.experiment = experiment
        self.model = model
        self.calibration = calibration
        sounds = sounds or EnrolledSounds()
        self._held = Holding(sounds, CurrentDecision(embedder, calibration, sounds.classes, decision))
        self.encoders = encoders or ClipEncoders()
        self._audio = audio or AudioStore()
        self._log = ChangeLog()
        self._history = deque(maxlen=MOST_UNDONE)

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
    def from_pretrained(cls, name: str | Path, device: str = "cpu") -> Self:
        """Load a shipped recognizer by its name, a bundle by its folder, or one of the Hugging Face hub.

        Args:
            name: a name that ``shipped`` takes; a folder; or "hf:OWNER/NAME@REVISION", where the revision is a commit,
                a tag or a branch such as "main". Only the latter reaches the hub, with huggingface_hub, which keeps
                what it has fetched. What comes from there is checked as every bundle is.
            device: "cpu", "cuda" or "auto".

        Raises:
            DataError: there is no such recognizer, or it cannot be fetched or trusted; says why.
            ConfigError: the device is not usable, or huggingface_hub is not installed.
        """
        from fewshot_audio.recognition.hub import find_bundle

        return cls.load(find_bundle(name), device)

    def push_to_hub(
        self, name: str, *, private: bool = True, revision: str | None = None, with_audio: bool = False
    ) -> str:
        """Publish the recognizer as a bundle in a model repository of the Hugging Face hub, which is made if missing.

        What goes there: the network, the names of classes and clips, and the numbers that were computed of the clips;
        and the files of encoders that bundles are to hold. The sound that is kept of clips does only if asked for.

        Args:
            name: "OWNER/NAME".
            private: whether a repository that is made here is.
            revision: branch that is written to; default: main.
            with_audio: whether the kept sound of clips goes there, too.

        Returns:
            The name that ``from_pretrained`` takes, with the commit.

        Raises:
            DataError: the hub refuses; says why.
            ConfigError: huggingface_hub is not installed.
        """
        from fewshot_audio.recognition.hub import push_bundle

        return push_bundle(self.parts(with_audio=with_audio), name, private=private, revision=revision)

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
        self._log.saved(folder, save_bundle(folder, self.parts(), self._log.state(folder), is_new=is_new))
        self._audio.lies_in(folder)
        self._audio.trim(self._sounds.kept_audio)

    def save_copy(self, folder: str | Path, *, with_audio: bool = False) -> None:
        """Write a bundle to give away, into a new folder; the kept sound of clips is in it only if asked for.

        Raises:
            DataError: ``folder`` exists and is not empty.
            WriteError: a file cannot be written.
        """
        from fewshot_audio.recognition.bundle.write import save_bundle

        save_bundle(Path(folder), self.parts(with_audio=with_audio), is_new=True)

    def parts(self, *, with_audio: bool = True) -> RecognizerParts:
        """What the recognizer consists of now; or without the kept sound of clips."""
        sounds, decision = self._held
        state = decision.of(sounds.classes)
        sounds, audio = (sounds, self._audio) if with_audio else (sounds.without_audio(), None)
        return RecognizerParts(
            self.embedder, self.experiment, self.model, self.calibration, sounds, state, self.encoders, audio
        )

    @property
    def revision(self) -> int:
        """How many times the bundle that was loaded or saved last has been written; 0 if there is none."""
        return self._log.revision

    def is_current(self, folder: str | Path) -> bool:
        """Whether a bundle's folder holds what was loaded from it or saved to it here; True if it holds no bundle."""
        return self._log.is_current(Path(folder))

    def refresh(self, folder: str | Path, *, undo: int = 0) -> None:
        """Read a bundle again that another program has written, and make the changes that were not saved on it.

        The last ``undo`` of those changes are dropped.

        Raises:
            DataError: it cannot be read, holds another network or other encoders than those that unsaved clips were
                embedded by, or a change cannot be made, such as that of a class which is not there any more; nothing
                has changed.
        """
        from fewshot_audio.recognition.bundle.read import load_bundle

        folder = Path(folder)
        loaded = load_bundle(folder, self.embedder.device, self.embedder.backend)
        encoders = loaded.parts.encoders
        same = encoders.digests == self.encoders.digests
        sounds = self._log.on_another_state(folder, loaded.state, loaded.parts.sounds, undo, same_encoders=same)
        self.embedder, self.experiment, self.model, self.calibration, _, decision, *_ = loaded.parts
        self.encoders = self.encoders if same else encoders
        current = CurrentDecision(self.embedder, self.calibration, loaded.parts.sounds.classes, decision)
        self._history.clear()
        # Unsaved clips may have been embedded before fewer encoders were chosen.
        self._held = Holding(with_only_encoders(sounds, self.encoders.descriptions), current)

    def scan(self, path: str | Path, hop: float | None = None, *, threshold: float = 0.0) -> FileResult:
        """Find the enrolled sounds in a recording of any length: windows of a segment, joined to events.

        Args:
            path: the recording, which is read block by block.
            hop: seconds from the start of a window to that of the next, at most a segment; default: a segment.
            threshold: probability of the best class below which a window is unknown.

        Raises:
            DataError: the recording cannot be used, or no class is enrolled.
            ConfigError: the hop is out of its range.
        """
        from fewshot_audio.recognition.scan import answer_file

        result = answer_file(self, Path(path), ScanOptions(self.segment_seconds if hop is None else hop, threshold))
        if result.error is not None:
            raise DataError(f"{result.file}: {result.error}")
        return result
