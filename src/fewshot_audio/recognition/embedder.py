"""Embedding of segments: a segment's rows are the same bits, whichever other segments are embedded with it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.config.experiment import Distance
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.options import Backend
from fewshot_audio.recognition.scoring import Rows, distance_scores

if TYPE_CHECKING:
    from fewshot_audio.models.network import FewShotNetwork

LARGEST_EMBEDDING = 1e15
"""Rows with larger numbers are refused: squared distances between them would leave float32."""

GROUP = 64  # segments whose features are in memory at once, unless one clip has more

InputType = Literal["spec", "wav"]


class SavedNetwork(NamedTuple):
    """What a bundle keeps of an embedder.

    Attributes:
        content: a safetensors file of the network's state ("network.*") and the frozen views' tensors ("views.*").
        view_numbers: the numbers of the frozen views; None if there are none.
    """

    content: bytes
    view_numbers: dict[str, int] | None


class Embedder(ABC):
    """A trained network with its preprocessing and its frozen views. Each back end is a subclass.

    Args:
        preprocessing: how recordings became segments and features in training.
        input_type: "spec" if the network's views are made of spectrograms, "wav" if of waveforms.
        distance: how rows are compared with prototypes.
        scale: factor of distances or similarities in the scores.
    """

    def __init__(self, preprocessing: Preprocessing, input_type: InputType, distance: Distance, scale: float) -> None:
        self.preprocessing = preprocessing
        self.input_type: InputType = input_type
        self.segment_shape = segment_shape(preprocessing, input_type)
        self._distance: Distance = distance
        self._scale = scale

    backend: ClassVar[Backend]
    """The choice of ``Recognizer.load`` that led to this back end."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where the network computes, as ``Recognizer.load`` takes it."""

    @property
    @abstractmethod
    def network(self) -> "FewShotNetwork":
        """The network in torch, in evaluation mode; it is built if this back end computes without it."""

    @abstractmethod
    def saved(self) -> SavedNetwork:
        """What a bundle keeps of it."""

    @abstractmethod
    def _rows(self, features: Samples) -> Rows:
        """Embed segments. Shape: (S, *segment_shape) -> (S, rows, width)."""

    def features(self, segments: Samples) -> Samples:
        """Compute what a dataset folder stores of a clip's segments. Shape: (S, samples) -> (S, *segment_shape)."""
        return segments if self.input_type == "wav" else self.preprocessing.features(segments)

    def rows(self, features: Samples) -> Rows:
        """Embed segments: one row each, or without attention one per view.

        A segment's rows do not depend, to the last bit, on the other segments.

        Shape:
            (S, *segment_shape) -> (S, rows, width).

        Raises:
            DataError: the network's weights give numbers that are not finite.
        """
        rows = self._rows(features)
        if not (np.abs(rows) <= LARGEST_EMBEDDING).all():  # NaN is not either
            raise DataError("the network's embeddings are not finite or too large: its weights are unusable")
        return rows

    def score(self, prototypes: Rows, rows: Rows) -> Rows:
        """Score rows against prototypes. Shape: prototypes (way, width), rows (rows, width) -> (rows, way)."""
        return distance_scores(prototypes, rows, self._distance, self._scale)

    def clip_rows(self, clips: Sequence[Samples]) -> Iterator[Rows]:
        """Embed clips of one or more segments together. Shape: each (S, *segment_shape) -> each (S * rows, width)."""
        if clips:
            rows = self.rows(np.concatenate(clips))
            for part in np.split(rows, np.cumsum([len(clip) for clip in clips])[:-1]):
                yield part.reshape(-1, part.shape[-1])

    def embed_clips(self, clips: Clips, rate: float | None = None) -> Iterator[tuple[LoadedClip, Rows]]:
        """Load and embed clips, a group at a time; yields each with its rows (S * rows, width).

        Args:
            clips: one clip or several.
            rate: of arrays that come without their own, Hz.

        Raises:
            DataError: a clip cannot be used.
        """
        group: list[LoadedClip] = []
        for clip in load_clips(clips, self.preprocessing, rate):
            group.append(clip)
            if sum(len(loaded.segments) for loaded in group) >= GROUP:
                yield from self._embed_group(group)
                group = []
        yield from self._embed_group(group)

    def _embed_group(self, group: list[LoadedClip]) -> Iterator[tuple[LoadedClip, Rows]]:
        yield from zip(group, self.clip_rows([self.features(clip.segments) for clip in group]), strict=True)


def segment_shape(preprocessing: Preprocessing, input_type: InputType) -> tuple[int, ...]:
    """Shape of a segment as a dataset folder stores it: (mels, frames), or (samples,) for waveform input."""
    if input_type == "wav":
        return (preprocessing.segment_samples,)
    return preprocessing.n_mels, preprocessing.frames
