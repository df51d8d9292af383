"""What a source of recordings tells preparation: which recordings there are, and which inputs are none."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from fewshot_audio.audio.decode import Samples, Span, decode
from fewshot_audio.audio.rejection import Reason, rejection
from fewshot_audio.data.limits import Limits


class Sound(Protocol):
    """Where a recording's samples come from; small and picklable, because it travels to worker processes."""

    def read(self, sample_rate: int) -> Samples:
        """Mono samples (samples,) float32 at ``sample_rate``; raises Rejected."""

    def fingerprint(self) -> str:
        """Changes when the samples change, without reading them; raises Rejected."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """The sound in a file, or in a span of it."""

    path: Path
    span: Span | None = None

    def read(self, sample_rate: int) -> Samples:
        """Decode the file, or the span."""
        return decode(self.path, sample_rate, self.span)

    def fingerprint(self) -> str:
        """Size and time of last change, and the span."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise rejection(error) from error
        part = f"-{self.span[0]!r}-{self.span[1]!r}" if self.span else ""
        return f"{status.st_size}-{status.st_mtime_ns}{part}"


@dataclass(frozen=True, slots=True)
class Recording:
    """One labeled recording.

    ``source`` names it in reports (its path within the source), ``clip`` is its name within its class as the source
    has it (any text, not necessarily unique), ``group`` the original recording that several clips were cut from.
    """

    source: str
    class_name: str
    clip: str
    sound: Sound
    group: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """One input that is no usable recording, and why."""

    source: str
    class_name: str
    reason: Reason
    detail: str


class Source(Protocol):
    """A collection of labeled recordings, in a layout of its own."""

    name: ClassVar[str]
    segment_seconds: ClassVar[float]  # the usual length of a segment of this source
    limits: ClassVar[Limits]  # what the benchmark takes of it

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every input, in an order that depends on the inputs only; raises DataError where the layout is not there."""


def printable(path: str | Path) -> str:
    """A path within a source as valid Unicode with forward slashes, whatever bytes the file system holds."""
    text = path if isinstance(path, str) else path.as_posix()
    return os.fsencode(text).decode("utf-8", "backslashreplace")
