"""Which clips and classes of a source are used: by the lengths of clips, and by how many clips a class has."""

from collections.abc import Mapping
from dataclasses import dataclass

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.errors import DataError, plural

LENGTH_TOLERANCE = 0.01  # of the length: copies in lossy formats are some milliseconds longer


@dataclass(frozen=True)
class SourceLimits:
    """The limits on clips and classes; the default has none.

    Attributes:
        exact_seconds: the length of all clips of the dataset. Clips of other lengths are left out, unless ``pad`` is
            set: then shorter ones are tiled and longer ones are cut into segments.
        longest_seconds: longer clips are left out.
        least_clips: classes with fewer usable clips are left out.
        strict: whether recordings that are partly damaged are left out.
        pad: whether clips of other lengths than ``exact_seconds`` are used too.
    """

    exact_seconds: float | None = None
    longest_seconds: float | None = None
    least_clips: int = 0
    pad: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        if self.longest_seconds is not None and self.longest_seconds <= 0:
            raise DataError(f"clips of at most {self.longest_seconds:g} s: expected a length above 0")
        if self.least_clips < 0:
            raise DataError(f"classes of at least {self.least_clips} clips: expected a number of at least 0")

    def check(self, samples: int, sample_rate: int, damage: str = "") -> None:
        """Check the length of a clip, and what is wrong with it.

        Raises:
            Rejected: it is too long, differs from the length of the dataset's clips, or is damaged and may not be.
        """
        if self.strict and damage:
            raise Rejected(Reason.DAMAGED, damage.removeprefix("damaged: "))
        seconds = samples / sample_rate
        if self.longest_seconds is not None and seconds > self.longest_seconds:
            raise Rejected(Reason.TOO_LONG, f"{seconds:.2f} s, expected at most {self.longest_seconds:g} s")
        exact = self.exact_seconds
        if exact is not None and not self.pad and abs(seconds - exact) > LENGTH_TOLERANCE * exact:
            raise Rejected(Reason.OTHER_LENGTH, f"{seconds:.4g} s, expected {exact:g} s (to take it: --pad)")

    def allow(self, samples: int, sample_rate: int, damage: str) -> bool:
        """Whether ``check`` accepts a clip."""
        try:
            self.check(samples, sample_rate, damage)
        except Rejected:
            return False
        return True

    def small_classes(self, clips: Mapping[str, int]) -> dict[str, str]:
        """Return the reason for each class that is too small; ``clips`` counts the clips of every class."""
        return {
            name: f"{plural(count, 'clip')} in the class, expected at least {self.least_clips}"
            for name, count in clips.items()
            if count < self.least_clips
        }
