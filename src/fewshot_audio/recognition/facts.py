"""What a recognizer says about itself: its network, its classes, and the numbers that it decides by."""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import plural
from fewshot_audio.recognition.answer import unknown_threshold
from fewshot_audio.recognition.audio_store import AudioStore
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.change_log import ChangeLog
from fewshot_audio.recognition.changes import enrolled_class
from fewshot_audio.recognition.current_decision import CurrentDecision
from fewshot_audio.recognition.decision.choose import Head
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.enrolled import ClipSummary, Enrolled, EnrolledSounds
from fewshot_audio.recognition.scoring import Floats, Rows

if TYPE_CHECKING:
    from fewshot_audio.models.network import FewShotNetwork


class Holding(NamedTuple):
    """What is enrolled, and the decision on it: one goes with the other, so they are replaced together."""

    sounds: EnrolledSounds
    decision: CurrentDecision


class RecognizerFacts:
    """The part of a ``Recognizer`` that only tells."""

    embedder: Embedder
    calibration: Calibration | None
    encoders: ClipEncoders
    _held: Holding  # replaced, never changed: for other threads
    _log: ChangeLog
    _history: deque[EnrolledSounds]  # former states, the latest one last
    _audio: AudioStore

    def __repr__(self) -> str:
        clips = sum(len(enrolled_class.clips) for enrolled_class in self._sounds.classes.values())
        held = f"{plural(len(self._sounds.classes), 'class')}, {plural(clips, 'clip')}, head {self.head!r}"
        if self._sounds.ignored:
            held += f", {len(self._sounds.ignored)} ignored"
        if self._sounds.background:
            held += f", background of {plural(len(self._sounds.background), 'clip')}"
        return f"<{type(self).__name__}: {held}, {self.sample_rate} Hz, segments of {self.segment_seconds:g} s>"

    @property
    def _sounds(self) -> EnrolledSounds:
        return self._held.sounds

    @property
    def sounds(self) -> EnrolledSounds:
        """All that is enrolled at this moment."""
        return self._held.sounds

    @property
    def _decision_state(self) -> DecisionState:
        sounds, decision = self._held
        return decision.of(sounds.classes)

    @property
    def network(self) -> "FewShotNetwork":
        """The network, in evaluation mode."""
        return self.embedder.network

    @property
    def preprocessing(self) -> Preprocessing:
        """How recordings become segments and features, as in training."""
        return self.embedder.preprocessing

    @property
    def sample_rate(self) -> int:
        """Rate at which recordings are read, Hz."""
        return self.preprocessing.recording_rate

    @property
    def segment_seconds(self) -> float:
        """How much of a recording a segment holds."""
        return self.preprocessing.recording_seconds

    @property
    def classes(self) -> list[str]:
        """Names of the enrolled classes, in the order of their enrollment."""
        return list(self._sounds.classes)

    @property
    def ignored(self) -> list[str]:
        """Names of the enrolled classes that are never an answer, in the order of ``classes``."""
        return [name for name in self._sounds.classes if name in self._sounds.ignored]

    @property
    def background(self) -> list[ClipSummary]:
        """The recordings of the background, each with its number of segments."""
        return [ClipSummary(clip.name, clip.segments) for clip in self._sounds.background]

    @property
    def temperature(self) -> float:
        """Divides scores before the softmax; 1 without a calibration."""
        calibration = self._decision_state.calibration or self.calibration
        return calibration.temperature if calibration else 1.0

    @property
    def unknown_threshold(self) -> float | None:
        """Unknown score above which the answer is "unknown"; None without a calibration and without background."""
        return unknown_threshold(self._sounds, self._decision_state.decision, self.calibration)

    @property
    def prototypes(self) -> Rows:
        """Prototypes (n_classes, width), in the order of ``classes``."""
        return self.snapshot().prototypes

    @property
    def expected_distances(self) -> Floats:
        """Distance from each prototype at which a new clip is expected, (n_classes,): the unit of unknown scores."""
        return self.snapshot().expected_distances

    @property
    def reaches(self) -> Floats:
        """The former name of ``expected_distances``."""
        return self.expected_distances

    @property
    def head(self) -> Head:
        """What tells the enrolled classes apart: logistic regression on some features, or prototypes."""
        return self._decision_state.head

    @property
    def encoder_names(self) -> list[str]:
        """Names of the frozen encoders that decide beside the network."""
        return list(self.encoders.descriptions)

    @property
    def fixed_head(self) -> Head | None:
        """The head that the user has asked for; None if it is chosen by the enrolled clips."""
        return self._decision_state.fixed

    def clips(self, name: str) -> list[ClipSummary]:
        """The enrolled clips of a class, each with its number of segments."""
        return [ClipSummary(clip.name, clip.segments) for clip in enrolled_class(self._sounds.classes, name).clips]

    @property
    def keeps_audio(self) -> bool | None:
        """Whether the sound of clips is to be kept; None if nobody has decided: then it is not."""
        return self._sounds.keeps_audio

    @property
    def audio_bytes(self) -> int:
        """Size of the sound that is kept of clips."""
        return sum(audio.size for audio in self._sounds.kept_audio)

    def clips_with_audio(self, name: str) -> list[str]:
        """Names of a class's clips whose sound is kept."""
        clips = enrolled_class(self._sounds.classes, name).clips
        return [clip.name for clip in clips if clip.audio and self._audio.has(clip.audio)]

    def clip_audio(self, name: str, clip: str) -> bytes | None:
        """The sound of a clip as a FLAC file; None if it is not kept, or its file is gone or was changed."""
        for own in enrolled_class(self._sounds.classes, name).clips:
            if own.name == clip and own.audio:
                return self._audio.read(own.audio)
        return None

    def support_embeddings(self, name: str) -> NDArray[np.float32]:
        """Embeddings of a class's enrolled clips, (clips, width); the prototype is their mean."""
        return enrolled_class(self._sounds.classes, name).embeddings.copy()

    @property
    def revision(self) -> int:
        """How many times the bundle that was loaded or saved last has been written; 0 if there is none."""
        return self._log.revision

    def is_current(self, folder: str | Path) -> bool:
        """Whether a bundle's folder holds what was loaded from it or saved to it here; True if it holds no bundle."""
        return self._log.is_current(Path(folder))

    def snapshot(self) -> Enrolled:
        """What is enrolled now, to answer by it later. Raises DataError if there is no class, or all are ignored."""
        sounds, decision = self._held
        return decision.enrolled(sounds)
