"""Which clips and classes of a source are wanted: lengths, how many clips a class needs, and what that leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.errors import DataError

LENGTH_TOLERANCE = 0.01  # of the length: copies in lossy formats are some milliseconds longer


@dataclass(frozen=True)
class Limits:
    """What a clip and a class must fulfill; the default lets everything pass.

    ``exact_seconds`` is the one length of a set of fixed length (shorter clips are tiled where ``pad`` is set, longer
    ones cut into segments), ``longest_seconds`` the length above which clips are left out, ``least_clips`` the number
    of usable clips below which a whole class is left out.
    """

    exact_seconds: float | None = None
    longest_seconds: float | None = None
    least_clips: int = 0
    pad: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        if self.longest_seconds is not None and self.longest_seconds <= 0:
            raise DataError(f"clips of at most {self.longest_seconds:g} s: expected a length above 0")
        if self.least_clips < 0:
            raise DataError(f"classes of at least {self.least_clips} clips: expected a number of at least 0")

    def check(self, samples: int, sample_rate: int) -> None:
        """Raise Rejected for a clip of ``samples`` that is not wanted."""
        seconds = samples / sample_rate
        if self.longest_seconds is not None and seconds > self.longest_seconds:
            raise Rejected(Reason.TOO_LONG, f"{seconds:.2f} s, expected at most {self.longest_seconds:g} s")
        exact = self.exact_seconds
        if exact is not None and not self.pad and abs(seconds - exact) > LENGTH_TOLERANCE * exact:
            raise Rejected(Reason.OTHER_LENGTH, f"{seconds:.4g} s, expected {exact:g} s (to take it: --pad)")

    def allow(self, samples: int, sample_rate: int) -> bool:
        """Tell whether ``check`` lets a clip pass."""
        try:
            self.check(samples, sample_rate)
        except Rejected:
            return False
        return True

    def small(self, clips: Mapping[str, int]) -> dict[str, str]:
        """Why each class that is too small is left out, given the number of clips of every class."""
        return {
            name: f"{count} clips in the class, expected at least {self.least_clips}"
            for name, count in clips.items()
            if count < self.least_clips
        }


@dataclass(frozen=True)
class Count:
    """Recordings, the classes that have any, and how many of these are too small."""

    recordings: int
    classes: int
    small: int

    @classmethod
    def of(cls, classes: Sequence[str], clips: Mapping[str, int], least: int) -> Self:
        """Count the clips of some classes."""
        counts = [clips[name] for name in classes if clips.get(name)]
        return cls(sum(counts), len(counts), sum(count < least for count in counts))


@dataclass(frozen=True)
class PartCounts:
    """What one part of a source had, what of it could be used, and what is left without the small classes."""

    part: str
    found: Count
    usable: Count
    kept: Count


def count_parts(
    parts: Mapping[str, Sequence[str]], found: Mapping[str, int], usable: Mapping[str, int], least: int
) -> tuple[PartCounts, ...]:
    """Count every part (a list of classes) before and after the classes below ``least`` were left out."""
    kept = {name: count for name, count in usable.items() if count >= least}
    stages = (found, usable, kept)
    return tuple(
        PartCounts(part, *(Count.of(classes, clips, least) for clips in stages)) for part, classes in parts.items()
    )
