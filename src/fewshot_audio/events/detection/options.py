"""What a detection does otherwise than by itself."""

from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.errors import ConfigError

THRESHOLD = 0.7
"""Score from which what is like the examples is an event, unless another is asked for."""
CLASS_THRESHOLD = 0.3
"""The same for what is like an enrolled class; of what a recognizer calls unknown, no score is above 0.5."""
CLASS_MERGE_GAP = 0.2
"""Seconds; pauses between events of an enrolled class that are shorter are part of the event."""


@dataclass(frozen=True)
class DetectionOptions:
    """How events are searched for and reported.

    Args:
        threshold: score, 0 to 1, from which a candidate is an event; None takes ``THRESHOLD``, raised for recordings
            with very many more events than there are among the examples, or for enrolled classes ``CLASS_THRESHOLD``.
        min_duration: seconds that an event lasts at least; None takes 0.4 of the shortest example, or for enrolled
            classes 0.03 s.
        merge_gap: events of one label with a shorter pause between them, in seconds, become one; None merges none, or
            for enrolled classes those less than ``CLASS_MERGE_GAP`` apart.
        overlaps: whether events of different labels may overlap; otherwise the one with the higher score wins.
        complete_between: whether every event before the last example is marked, so that the gaps hold none; None: if
            the examples are the first of their recording, which is what tables of the first events are.
        rescore: whether candidates are judged once more by their timbre and the shipped network's embedding, where all
            events between the examples are known.
        network: folder of an event network of your own, by which recordings are heard; None takes the shipped one.

    Raises:
        ConfigError: a number is out of its range.

    Example:
        >>> DetectionOptions(threshold=0.8, min_duration=0.1).merge_gap is None
        True
    """

    threshold: float | None = None
    min_duration: float | None = None
    merge_gap: float | None = None
    overlaps: bool = False
    complete_between: bool | None = None
    rescore: bool = True
    network: str | Path | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ConfigError(f"threshold {self.threshold:g}: expected 0 to 1")
        for name, seconds in (("min_duration", self.min_duration), ("merge_gap", self.merge_gap)):
            if seconds is not None and not 0.0 <= seconds < float("inf"):
                raise ConfigError(f"{name} {seconds:g}: expected seconds, 0 or more")
