"""The interface of a source of recordings: its recordings, and the inputs that are not usable."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from fewshot_audio.audio.decode import Decoded, decode
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Span
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.errors import DataError


class Sound(Protocol):
    """Reads a recording's samples; small and picklable, because it is sent to worker processes."""

    def read(self, sample_rate: int) -> Decoded:
        """Return mono samples (samples,) float32 at ``sample_rate``, and what is wrong with them; raises Rejected."""

    def fingerprint(self) -> str:
        """Return a text that changes when the samples change, without reading them; raises Rejected."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """The sound in a file, or in a span of it."""

    path: Path
    span: Span | None = None

    def read(self, sample_rate: int) -> Decoded:
        """Decode the file, or the span."""
        return decode(self.path, sample_rate, self.span)

    def fingerprint(self) -> str:
        """Return size and time of the last change, and the span."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise Rejected.from_os_error(error) from error
        part = f"-{self.span[0]!r}-{self.span[1]!r}" if self.span else ""
        return f"{status.st_size}-{status.st_mtime_ns}{part}"


@dataclass(frozen=True, slots=True)
class Recording:
    """One labeled recording.

    Attributes:
        source: its name in reports (its path within the source).
        class_name: its class.
        clip: its name within the class in the source (any text, not necessarily unique).
        sound: its samples.
        group: the original recording that several clips were cut from; "" if that is unknown.
    """

    source: str
    class_name: str
    clip: str
    sound: Sound
    group: str = ""


@dataclass(frozen=True, slots=True)
class SkippedInput:
    """One input that is not a usable recording, and the reason.

    Attributes:
        source: its name in reports (its path within the source).
        class_name: its class; "" if that is unknown.
        reason: a code of ``skipped.csv``, such as "not_listed".
        detail: the reason in words.

    Raises:
        DataError: there is no such code; names all.
    """

    source: str
    class_name: str
    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in tuple(Reason):
            raise DataError(f"{self.source}: there is no reason {self.reason!r}, expected one of {', '.join(Reason)}")
        object.__setattr__(self, "reason", Reason(self.reason))  # sources from outside give the text


class Source(Protocol):
    """A collection of labeled recordings, in a layout of its own."""

    name: ClassVar[str]
    segment_seconds: ClassVar[float]  # the usual length of a segment of this source
    limits: ClassVar[SourceLimits]  # the clips and classes that the benchmark uses

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every input, in an order that depends on the inputs only.

        Raises:
            DataError: the folder has another layout.
        """


def printable(path: str | Path) -> str:
    """Return a path within a source as valid Unicode with forward slashes, even if its bytes are not Unicode."""
    text = path if isinstance(path, str) else path.as_posix()
    return os.fsencode(text).decode("utf-8", "backslashreplace")
