"""What tables of events hold: annotations, which people made, and detections, which have a score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Quality: TypeAlias = Literal["POS", "NEG", "UNK"]
"""Whether an annotated sound is the label's (POS), is known not to be (NEG), or may be (UNK), as DCASE has it."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An event that somebody marked.

    Args:
        file: the recording, resolved.
        start: seconds from the start of the recording.
        end: seconds from the start of the recording, above ``start``.
        label: its class.
        low_hz: lowest frequency, if that is known.
        high_hz: highest frequency, if that is known.
        quality: whether the sound is the label's.
        channel: the channel that it was marked in, from 1; None if that is unknown.
    """

    file: Path
    start: float
    end: float
    label: str
    low_hz: float | None = None
    high_hz: float | None = None
    quality: Quality = "POS"
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """An event that a detector found.

    Args:
        start: seconds from the start of the recording.
        end: seconds from the start of the recording, above ``start``.
        label: its class.
        score: how sure the detector is, 0 to 1.
        low_hz: lowest frequency, if that is known.
        high_hz: highest frequency, if that is known.
    """

    start: float
    end: float
    label: str
    score: float
    low_hz: float | None = None
    high_hz: float | None = None
