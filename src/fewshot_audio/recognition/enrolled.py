"""Enrolled classes and clips, and the answers that a recognizer gives."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.encoder_blocks import encoder_names
from fewshot_audio.recognition.scoring import Floats, Rows, clip_means, expected_distances

UNKNOWN = "unknown"
"""The answer for a sound that is none of the enrolled classes; no class can have this name."""

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
        probabilities: of every enrolled class, the mean over the segments.
        unknown_score: distance to the nearest class, in units of that class's expected distance.
        segments: how many segments the clip has.
    """

    label: str
    best: str
    probabilities: dict[str, float]
    unknown_score: float
    segments: int


@dataclass(frozen=True)
class Enrollment:
    """What ``enroll`` added to a class: clips and segments, and how many clips the class has now."""

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
        encoded: rows of its segments by each frozen encoder of the recognizer, (segments, width), float32.
    """

    name: str
    segments: int
    rows: Rows
    silence: float
    timbre: NDArray[np.float32] | None = None
    encoded: Mapping[str, Rows] = field(default_factory=dict)


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
class Enrolled:
    """All enrolled classes at one moment, one or more, and what clips are compared with.

    Args:
        classes: the classes by name, in the order of their enrollment.
        prototypes: (n_classes, width).
        expected_distances: of a new clip of each class to the class's prototype, (n_classes,).
        decision: fitted on the classes; None if prototypes decide.
    """

    classes: Mapping[str, EnrolledClass]
    prototypes: Rows
    expected_distances: Floats
    decision: Decision | None = None

    @property
    def needs_timbre(self) -> bool:
        """Whether the timbre of clips counts."""
        return self.decision is not None and self.decision.needs_timbre

    @property
    def encoders(self) -> list[str]:
        """Names of the frozen encoders that count."""
        return encoder_names(self.decision.blocks) if self.decision else []

    @classmethod
    def of(cls, classes: Mapping[str, EnrolledClass], scatter: float | None, decision: Decision | None = None) -> Self:
        """Compute what clips are compared with; ``scatter`` is the calibration's, if there is one.

        Raises:
            DataError: there is no class.
        """
        if not classes:
            raise DataError("no class is enrolled: enroll one or more first")
        prototypes = np.stack([enrolled_class.prototype for enrolled_class in classes.values()])
        embeddings = [enrolled_class.embeddings for enrolled_class in classes.values()]
        return cls(classes, prototypes, expected_distances(embeddings, scatter), decision)


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
