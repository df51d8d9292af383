"""What the server needs of a recognizer; ``fewshot_audio.Recognizer`` has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing

if TYPE_CHECKING:
    from fewshot_audio.recognition.diagnosis import Diagnosis
    from fewshot_audio.recognition.enrolled import Classification

Embedding = npt.NDArray[np.float32]


class Backend(Protocol):
    """A recognizer that knows classes by a few clips each; clips are mono arrays at the preprocessing's rate."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The way from a recording to segments and features."""

    @property
    def classes(self) -> list[str]:
        """Names of the enrolled classes."""

    @property
    def unknown_threshold(self) -> float | None:
        """Unknown score above which a clip is of no enrolled class; None: every clip is taken for one of them."""

    def clips(self, name: str) -> Sequence[object]:
        """The clips of a class."""

    def support_embeddings(self, name: str) -> Embedding:
        """Their embeddings (clips, width)."""

    def enroll(self, name: str, clips: Sequence[Samples]) -> object:
        """Add clips to a class."""

    def remove(self, name: str) -> None:
        """Forget a class."""

    def rename(self, old: str, new: str) -> None:
        """Give a class another name."""

    def classify_with_embeddings(self, clips: Sequence[Samples]) -> Sequence[tuple["Classification", Embedding]]:
        """Answer clips; each answer with the clip's embedding (width,)."""

    def diagnose(self) -> "Diagnosis":
        """What is to be said of the enrolled clips."""

    def save(self, folder: Path) -> None:
        """Write a bundle."""
