"""What ``recognizer.json`` holds: strict models, so that anything else in it is refused."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.recognition.bundle import Role, encoder_file, former_file, tensor_file
from fewshot_audio.recognition.bundle.decision_sections import BundleSection, DecisionSection, FeaturesSection
from fewshot_audio.recognition.bundle.encoder_section import EncodersSection
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.kept_audio import LARGEST_KEPT, MOST_KEPT, KeptAudio

KIND: Literal["fewshot-audio recognizer"] = "fewshot-audio recognizer"
FORMAT: Literal[2] = 2
BACKGROUND = "background"
"""Begins the names of the tensors of the background, as a class's number does those of a class."""
TIMBRE = ".timbre"
"""Ends the names of the tensors of timbre; a class, or a background, that has a clip without timbre has none."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AudioSection(BundleSection):
    """The sound that is kept of a clip: a FLAC file, whose name follows from its SHA-256."""

    sha256: Digest
    size: Annotated[int, Field(ge=1, le=LARGEST_KEPT)]


class ClipsAudioSection(BundleSection):
    """What has been decided about the sound of clips: whether it is to be kept."""

    keep: bool


class ClipSection(BundleSection):
    """An enrolled clip: name, number of segments, share of silence.

    And, if there is one, what it was cut out of, and its sound.
    """

    name: str
    segments: Annotated[int, Field(ge=1)]
    silence: Annotated[float, Field(ge=0, le=1)]
    group: str = ""
    audio: AudioSection | None = None


class ClassSection(BundleSection):
    """An enrolled class; its tensors are named by its place in the list of classes."""

    name: str
    clips: Annotated[list[ClipSection], Field(min_length=1)]


class BackgroundSection(BundleSection):
    """What is never an answer: recordings of no class, whose tensors are ``background.*``, and classes by name."""

    clips: list[ClipSection] = Field(default_factory=list)
    ignored: list[str] = Field(default_factory=list)


class ViewsSection(BundleSection):
    """The numbers of the frozen views; their tensors are in the model's file."""

    kind: Literal["spec", "wav"]
    numbers: dict[str, int]


class BundleDescription(BundleSection):
    """All of ``recognizer.json``.

    Attributes:
        revision: how many times this bundle has been written; format 1 has none.
        sha256: of each file of tensors by its role; in format 1 by the file's name.
        features: what clips have beside embeddings; a bundle without it has none. Clips that version 0.1 enrolled have
            none in a bundle with it.
        decision: how clips are told apart; without it, by prototypes until it is decided.
        encoders: frozen encoders that decide beside the network; a bundle without it has none.
        background: what is enrolled but never an answer; a bundle without it has nothing of that kind.
        clips_audio: whether the sound of clips is kept; a bundle without it keeps none, and nobody has decided.
    """

    kind: Literal["fewshot-audio recognizer"]
    format: Literal[1, 2]
    revision: Annotated[int, Field(ge=0)] = 0
    preprocessing: Preprocessing
    classes: list[ClassSection]
    calibration: Calibration | None
    views: ViewsSection | None
    experiment: ExperimentConfig
    model: SerializeAsAny[ModelConfig]
    training_config_sha256: str
    sha256: dict[str, Digest]
    versions: dict[str, str]
    features: FeaturesSection | None = None
    decision: DecisionSection | None = None
    encoders: EncodersSection | None = None
    background: BackgroundSection | None = None
    clips_audio: ClipsAudioSection | None = None

    def tensor_file(self, role: Role) -> tuple[str, str]:
        """Name and SHA-256 of a file of tensors. Raises KeyError if the description names none."""
        if self.format == 1:
            return former_file(role), self.sha256[former_file(role)]
        return tensor_file(role, self.sha256[role]), self.sha256[role]

    @property
    def encoder_files(self) -> list[str]:
        """Names of the files of frozen encoders that the bundle holds."""
        held = self.encoders.descriptions if self.encoders and self.encoders.embedded else []
        return [encoder_file(description.sha256) for description in held]

    @property
    def audio_files(self) -> dict[str, int]:
        """Names and sizes of the files of kept sound; they may be missing."""
        kept = [clip.audio for section in self.classes for clip in section.clips if clip.audio]
        return {KeptAudio(audio.sha256, audio.size).file: audio.size for audio in kept}

    @model_validator(mode="after")
    def _check_audio(self) -> Self:
        if self.background and any(clip.audio for clip in self.background.clips):
            raise ValueError("background: a clip with sound; that of classes alone is kept")
        sizes = [clip.audio.size for section in self.classes for clip in section.clips if clip.audio]
        if sizes and not (self.clips_audio and self.clips_audio.keep):
            raise ValueError("clips_audio: a clip has sound, but none is kept")
        if sum(sizes) > MOST_KEPT:
            raise ValueError(f"clips_audio: {sum(sizes)} bytes of sound, expected at most {MOST_KEPT}")
        return self


def config_hash(experiment: ExperimentConfig, model: ModelConfig) -> str:
    """SHA-256 of the two training configs as canonical JSON."""
    values = {"experiment": experiment.model_dump(), "model": model.model_dump()}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
