"""Enrolled classes and clips, and the answers that a recognizer gives."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.decision.examples import Features
from fewshot_audio.recognition.encoder_blocks import encoder_block, encoder_names
from fewshot_audio.recognition.kept_audio import KeptAudio
from fewshot_audio.recognition.scoring import Floats, Rows, clip_means, expected_distances

UNKNOWN = "unknown"
"""The answer for a sound that is none of the enrolled classes; no class can have this name."""

Timbre: TypeAlias = NDArray[np.float32]

MOST_BACKGROUND = 1000
"""Segments of the background that clips are compared with."""

LONGEST_NAME = 200
LONGEST_CLIP_NAME = 1050
"""That of a file, 255 bytes, is shorter even if each byte is escaped."""
LONGEST_SAVED_CLIP_NAME = LONGEST_CLIP_NAME + 50
"""With the number that ``add_clips`` adds."""


@dataclass(frozen=True)
class Classification:
    """The answer for one clip.

    Args:
        label: ``best``, or "unknown" if ``unknown_score`` passes the recognizer's threshold.
        best: the enrolled class with the highest probability; of equal ones the first.
        probabilities: of every enrolled class, the mean over the segments; 0 of a class that is ignored.
        unknown_score: distance to the nearest class, in units of that class's expected distance; or, if that is more,
            the threshold times the odds, ``background`` / (1 - ``background``).
        segments: how many segments the clip has.
        background: how much it is like the background, or like classes that are ignored, from 0 to 1: from 0.5 on it
            is more like them than like ``best``; None if there is neither.
    """

    label: str
    best: str
    probabilities: dict[str, float]
    unknown_score: float
    segments: int
    background: float | None = None


@dataclass(frozen=True)
class Enrollment:
    """What ``enroll`` added to a class, or to the background: clips and segments, and how many clips it has now."""

    name: str
    clips: int
    segments: int
    total: int


class ClipSummary(NamedTuple):
    """An enrolled clip as ``Recognizer.clips`` lists it: its name and number of segments."""

    name: str
    segments: int


@dataclass(frozen=True)
class EnrolledClip:
    """An enrolled clip.

    Args:
        name: its name.
        segments: how many segments it has.
        rows: their embeddings, (segments x rows, width).
        silence: the share of it that is silent.
        timbre: of its segments, (segments, timbre width), float32; None if the version that enrolled it had none.
        group: the recording that it was cut out of, as others may be; "" if it is a recording itself.
        encoded: rows of its segments by each frozen encoder of the recognizer, (segments, width), float32.
        audio: its sound, if that is kept.
    """

    name: str
    segments: int
    rows: Rows
    silence: float
    timbre: NDArray[np.float32] | None = None
    group: str = ""
    encoded: Mapping[str, Rows] = field(default_factory=dict)
    audio: KeptAudio | None = None


@dataclass(frozen=True)
class EnrolledClass:
    """A class's clips; its prototype is their mean, each clip counting once."""

    clips: tuple[EnrolledClip, ...]
    embeddings: Rows  # (clips, width)
    prototype: Rows  # (width,)

    @classmethod
    def of(cls, clips: tuple[EnrolledClip, ...]) -> Self:
        """Compute embeddings and prototype."""
        embeddings = clip_means([clip.rows for clip in clips])
        return cls(clips, embeddings, embeddings.mean(axis=0))


@dataclass(frozen=True)
class EnrolledSounds:
    """All that is enrolled: the sounds to recognize, and those that are never an answer.

    Args:
        classes: the classes by name, in the order of their enrollment.
        background: recordings of no class.
        ignored: names of classes that are never an answer.
        keeps_audio: whether the sound of clips is to be kept; None if nobody has decided.
    """

    classes: Mapping[str, EnrolledClass] = field(default_factory=dict)
    background: tuple[EnrolledClip, ...] = ()
    ignored: frozenset[str] = frozenset()
    keeps_audio: bool | None = None

    @property
    def kept_audio(self) -> list[KeptAudio]:
        """The sound that is kept of clips."""
        return [clip.audio for own in self.classes.values() for clip in own.clips if clip.audio]

    def without_audio(self) -> "EnrolledSounds":
        """The same, without the sound of clips; nobody has decided whether it is to be kept."""
        classes = self.classes
        if self.kept_audio:
            clips = {name: tuple(replace(clip, audio=None) for clip in own.clips) for name, own in classes.items()}
            classes = {name: replace(own, clips=clips[name]) for name, own in classes.items()}
        return replace(self, classes=classes, keeps_audio=None)

    @property
    def clips(self) -> list[EnrolledClip]:
        """The clips of the classes, one class after another, and the background."""
        return [clip for own in self.classes.values() for clip in own.clips] + list(self.background)

    @property
    def is_answer(self) -> NDArray[np.bool_]:
        """Which classes may be an answer, (n_classes,)."""
        return np.array([name not in self.ignored for name in self.classes], dtype=bool)

    @property
    def has_negatives(self) -> bool:
        """Whether there is a background, or a class that is ignored."""
        return bool(self.background or self.ignored)


@dataclass(frozen=True)
class Enrolled:
    """All that is enrolled at one moment, with one class or more, and what clips are compared with.

    Args:
        sounds: what is enrolled.
        prototypes: (n_classes, width).
        expected_distances: of a new clip of each class to the class's prototype, (n_classes,).
        background: segments of the background, maybe none, as points where distances are measured: embeddings or, if
            there is a decision, its points; (segments, width).
        decision: fitted on the sounds; None if prototypes decide.
    """

    sounds: EnrolledSounds
    prototypes: Rows
    expected_distances: Floats
    background: Floats
    decision: Decision | None = None

    @property
    def classes(self) -> Mapping[str, EnrolledClass]:
        """The classes by name, in the order of their enrollment."""
        return self.sounds.classes

    @property
    def needs_timbre(self) -> bool:
        """Whether the timbre of clips counts."""
        return self.decision is not None and self.decision.needs_timbre

    @property
    def encoders(self) -> list[str]:
        """Names of the frozen encoders that count."""
        return encoder_names(self.decision.blocks) if self.decision else []

    @classmethod
    def of(cls, sounds: EnrolledSounds, scatter: float | None, decision: Decision | None = None) -> Self:
        """Compute what clips are compared with; ``scatter`` is the calibration's, if there is one.

        Raises:
            DataError: there is no class, or all are ignored.
        """
        if not sounds.classes:
            raise DataError("no class is enrolled: enroll one or more first")
        if not sounds.is_answer.any():
            raise DataError("every enrolled class is ignored: enroll another one, or ignore one less")
        prototypes = np.stack([enrolled_class.prototype for enrolled_class in sounds.classes.values()])
        embeddings = [enrolled_class.embeddings for enrolled_class in sounds.classes.values()]
        expected = expected_distances(embeddings, scatter)
        return cls(sounds, prototypes, expected, background_points(sounds.background, decision), decision)


def background_points(clips: Sequence[EnrolledClip], decision: Decision | None) -> Floats:
    """At most ``MOST_BACKGROUND`` segments of the background, at even distances, as points; (segments, width).

    Raises:
        DataError: a clip lacks what the decision needs.
    """
    points = []
    for clip in clips:
        if decision and decision.needs_timbre and clip.timbre is None:
            raise DataError(f"background: clip {clip.name!r} has no timbre: remove it")
        features = clip_features(clip.rows, clip.timbre, clip.segments, clip.encoded)
        points.append(decision.points(features) if decision else features["embedding"])
    if not points:
        return np.empty((0, 0))
    joined = np.concatenate(points)
    count = len(joined)
    return (
        joined if count <= MOST_BACKGROUND else joined[np.linspace(0, count - 1, MOST_BACKGROUND).round().astype(int)]
    )


def clip_features(
    rows: Rows, segment_timbres: Timbre | None, segments: int, encoded: Mapping[str, Rows] | None = None
) -> Features:
    """A clip's features: its rows (segments x rows, width), averaged for each segment, and what else is given.

    Args:
        rows: of the network.
        segment_timbres: (segments, timbre width); None for prototypes, and decisions that do without.
        segments: how many segments the clip has.
        encoded: rows by frozen encoders, (segments, width of the encoder).
    """
    embeddings: Floats = rows.reshape(segments, -1, rows.shape[-1]).mean(axis=1).astype(np.float64)
    features = {"embedding": embeddings}
    if segment_timbres is not None:
        features["timbre"] = segment_timbres.astype(np.float64)
    for name, values in (encoded or {}).items():
        features[encoder_block(name)] = values.astype(np.float64)
    return features


def checked_name(name: str) -> str:
    """The name of a class: any text, composed, so that a name typed on another system is the same class.

    Raises:
        DataError: it is empty, too long, no text that can be written, or "unknown".
    """
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"class name {name!r}: expected text that is not blank")
    composed = unicodedata.normalize("NFC", name)
    if len(composed) > LONGEST_NAME:
        raise DataError(f"class name of {len(composed)} characters: expected at most {LONGEST_NAME}")
    if not is_text(composed):
        raise DataError(f"class name {composed!r}: has bytes that are no text")
    if composed.casefold() == UNKNOWN:
        raise DataError(f"class name {name!r}: this is the answer for sounds that are not enrolled; choose another")
    return composed


def checked_clip_name(name: str) -> str:
    """The name of a clip: any text that can be written. Raises DataError if it is blank or too long."""
    if not isinstance(name, str) or not name.strip() or not is_text(name):
        raise DataError(f"clip name {name!r}: expected text that is not blank")
    if len(name) > LONGEST_CLIP_NAME:
        raise DataError(f"clip name of {len(name)} characters: expected at most {LONGEST_CLIP_NAME}")
    return name


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; names of files on Linux may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def add_clips(clips: tuple[EnrolledClip, ...], new: Iterable[EnrolledClip]) -> tuple[EnrolledClip, ...]:
    """Append new clips; one whose name another clip has already is called "name (2)" and so on."""
    names = {clip.name for clip in clips}
    for clip in new:
        name, number = clip.name, 1
        while name in names:
            number += 1
            name = f"{clip.name} ({number})"
        names.add(name)
        clips = (*clips, replace(clip, name=name))
    return clips
