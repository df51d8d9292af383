"""The result of a scan for one recording, and its status in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fewshot_audio.errors import plural
from fewshot_audio.recognition.answers import Row, frame, probability_columns
from fewshot_audio.recognition.events import Event


class RecordingResult(Protocol):
    """What lists of recordings say of each, whatever was searched for in it."""

    @property
    def file(self) -> str:
        """Its path as text."""

    @property
    def seconds(self) -> float:
        """Its duration."""

    @property
    def events(self) -> Sequence[object]:
        """The events in it."""

    @property
    def error(self) -> str | None:
        """Why it cannot be used; None if it can."""

    @property
    def status(self) -> str:
        """``ok``, ``nothing`` or ``error``."""

    @property
    def remark(self) -> str:
        """The status in words."""


@dataclass(frozen=True)
class FileResult:
    """The result of one recording.

    Args:
        file: its path, as text that can be written anywhere (``clips.as_text``).
        seconds: its duration.
        windows: how many windows were answered; 1 if it was answered as one clip.
        unknown: how many of them are of no enrolled class.
        silent: how many of them are silent.
        events: the sounds that were recognized.
        rate: the file's own sample rate, Hz.
        silence: why nothing is to be heard in the whole of it; "" if something is.
        damage: what is wrong with the file, of which the rest was answered; "" if nothing is.
        error: why the recording cannot be used; None if it can.
    """

    file: str
    seconds: float = 0.0
    windows: int = 0
    unknown: int = 0
    silent: int = 0
    events: tuple[Event, ...] = ()
    rate: int = 0
    silence: str = ""
    damage: str = ""
    error: str | None = None

    @property
    def status(self) -> str:
        """``ok``, ``nothing`` or ``error``."""
        return "error" if self.error is not None else "ok" if self.events else "nothing"

    @property
    def remark(self) -> str:
        """The status in words."""
        if self.error is not None:
            return self.error
        if self.events:
            return self.damage
        counts = f"of {plural(self.windows, 'window')} {self.unknown} unknown, {self.silent} silent"
        nothing = f"nothing to hear (silent: {self.silence})" if self.silence else f"nothing recognized ({counts})"
        return "; ".join(filter(None, (nothing, self.damage)))

    def to_rows(self) -> list[Row]:
        """A dict for each event: file, start and end in seconds, label, score, unknown_score, windows, ``p(CLASS)``."""
        return [
            {
                "file": self.file,
                "start": event.start,
                "end": event.end,
                "label": event.label,
                "score": event.score,
                "unknown_score": event.unknown_score,
                "windows": event.windows,
                **probability_columns(event.probabilities),
            }
            for event in self.events
        ]

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame. Raises ConfigError if pandas is not installed."""
        return frame(self.to_rows())
