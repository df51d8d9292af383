"""Enrolled classes and clips, and the answers that a recognizer gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.scoring import Floats, clip_means, reaches

UNKNOWN = "unknown"
"""The answer for a sound that is none of the enrolled classes; no class can be called so."""

LONGEST_NAME = 200


@dataclass(frozen=True)
class Classification:
    """The answer for one clip.

    ``label`` is ``best``, or "unknown" where ``unknown_score`` passes the recognizer's threshold; ``best`` is the vote
    of the clip's segments, ``probabilities`` of every enrolled class are the mean over them.
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


class ClipInfo(NamedTuple):
    """An enrolled clip: its name and number of segments."""

    name: str
    segments: int


@dataclass(frozen=True)
class EnrolledClip:
    """An enrolled clip: its rows (segments x rows, width), and which share of it is silent."""

    name: str
    segments: int
    rows: Tensor
    silence: float


@dataclass(frozen=True)
class EnrolledClass:
    """A class's clips; its prototype is their mean, each clip counting once."""

    clips: tuple[EnrolledClip, ...]
    embeddings: Tensor  # (clips, width)
    prototype: Tensor  # (width,)

    @classmethod
    def of(cls, clips: tuple[EnrolledClip, ...]) -> Self:
        """Compute embeddings and prototype."""
        embeddings = clip_means([clip.rows for clip in clips])
        return cls(clips, embeddings, embeddings.mean(0))


@dataclass(frozen=True)
class Enrolled:
    """All enrolled classes at one moment, one or more, and what judging takes: prototypes (way, width), reaches."""

    classes: Mapping[str, EnrolledClass]
    prototypes: Tensor
    reaches: Floats

    @classmethod
    def of(cls, classes: Mapping[str, EnrolledClass], prior: float | None) -> Self:
        """Collect what judging takes; ``prior`` is the calibrated scatter. Raises DataError without any class."""
        if not classes:
            raise DataError("no class is enrolled: enroll one or more first")
        known = classes.values()
        return cls(classes, torch.stack([c.prototype for c in known]), reaches([c.embeddings for c in known], prior))


def check_name(name: str) -> None:
    """Refuse names that tables and files could not show, and the one that means something else."""
    if not isinstance(name, str) or not name.strip() or name != name.strip() or not name.isprintable():
        raise DataError(f"class name {name!r}: expected printable text without blanks around it")
    if len(name) > LONGEST_NAME:
        raise DataError(f"class name of {len(name)} characters: expected at most {LONGEST_NAME}")
    if name.casefold() == UNKNOWN:
        raise DataError(f"class name {name!r}: this is the answer for sounds that are not enrolled; choose another")
