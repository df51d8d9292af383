"""What the server needs of a recognizer; ``fewshot_audio.Recognizer`` provides it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.recognition.clips import LoadedClip

if TYPE_CHECKING:
    from fewshot_audio.recognition.diagnosis import Diagnosis
    from fewshot_audio.recognition.enrolled import Classification, ClipSummary

Embedding = npt.NDArray[np.float32]


class Backend(Protocol):
    """A recognizer with classes of a few clips each; clips come normalized by its preprocessing, and unnamed."""

    @property
    def preprocessing(self) -> Preprocessing:
        """From a recording to segments and features."""

    @property
    def classes(self) -> list[str]:
        """Names of the enrolled classes."""

    @property
    def unknown_threshold(self) -> float | None:
        """Unknown score above which a clip is of no enrolled class; None if every clip is taken for one of them."""

    def clips(self, name: str) -> Sequence["ClipSummary"]:
        """The clips of a class."""

    def support_embeddings(self, name: str) -> Embedding:
        """Embeddings of a class's clips (clips, width)."""

    def enroll(self, name: str, clips: Sequence[LoadedClip]) -> object:
        """Add clips to a class."""

    def remove(self, name: str, clip: str | None = None) -> None:
        """Remove a class, or one clip of several of it."""

    def rename_clip(self, name: str, clip: str, new: str) -> None:
        """Give a clip of a class another name."""

    def move_clip(self, name: str, clip: str, new_class: str) -> None:
        """Put a clip into another class, new or not; a class whose only clip it was is gone."""

    def undo(self) -> None:
        """Take the last change back."""

    def rename(self, old: str, new: str) -> None:
        """Give a class another name."""

    @property
    def ignored(self) -> list[str]:
        """Names of the classes that are never an answer."""

    @property
    def background(self) -> Sequence["ClipSummary"]:
        """The recordings of the background."""

    def ignore(self, name: str, ignored: bool) -> None:
        """Let a class never be an answer, or again be one."""

    def enroll_background(self, clips: Sequence[LoadedClip]) -> object:
        """Add recordings, which are named, to the background."""

    def remove_background(self, clip: str) -> None:
        """Remove a recording from the background."""

    @property
    def keeps_audio(self) -> bool | None:
        """Whether the sound of clips is to be kept; None if nobody has decided."""

    @property
    def audio_bytes(self) -> int:
        """Size of the sound that is kept."""

    def keep_audio(self, keeps: bool) -> None:
        """Keep the sound of clips that are enrolled from now on; or none, and remove what is kept."""

    def clips_with_audio(self, name: str) -> Sequence[str]:
        """Names of a class's clips whose sound is kept."""

    def clip_audio(self, name: str, clip: str) -> bytes | None:
        """The sound of a clip as FLAC; None if it is not kept."""

    def classify_with_embeddings(self, clips: Sequence[LoadedClip]) -> Sequence[tuple["Classification", Embedding]]:
        """Answer for each clip, and its embedding (width,)."""

    def diagnose(self) -> "Diagnosis":
        """Judge each enrolled clip by the others."""

    @property
    def revision(self) -> int:
        """Revision of the bundle that it was loaded from or saved to last; 0 if there is none."""

    def save(self, folder: Path) -> None:
        """Write a bundle.

        Raises:
            BundleChanged: another program has written it since this recognizer was loaded from it or saved to it.
        """

    def save_copy(self, folder: Path, *, with_audio: bool = False) -> None:
        """Write a bundle to give away, with the kept sound of clips only if asked for."""

    def is_current(self, folder: Path) -> bool:
        """Whether a bundle still holds the state that this recognizer was loaded from or saved as last; quick."""

    def refresh(self, folder: Path, *, undo: int = 0) -> None:
        """Read a bundle again, and make the unsaved changes anew on its state, except the last ``undo`` ones."""
