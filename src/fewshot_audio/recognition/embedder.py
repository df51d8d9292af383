"""Embedding of segments: a segment's rows are the same bits, whichever other segments are embedded with it."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips

BLOCK = 8
"""Segments in every batch, padded if need be: matrix products round differently for another number of rows."""

LARGEST_EMBEDDING = 1e15
"""Rows with larger numbers are refused: squared distances between them would leave float32."""

GROUP = 64  # segments whose features are in memory at once, unless one clip has more

Views = SpecAugmentDraw | WaveformDraw


class Embedder:
    """A trained network in evaluation mode, with its preprocessing and its frozen views.

    Args:
        network: the network, which is moved to ``device`` and computes in float32 from now on.
        preprocessing: how recordings became segments and features in training.
        input_type: "spec" if views are made of spectrograms, "wav" if of waveforms.
        view_maker: makes the encoder's input from segments.
        views: the parameters of one segment's augmented views, which are used for every segment; None if the network
            is tested without views.
        device: where the network computes.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        preprocessing: Preprocessing,
        input_type: Literal["spec", "wav"],
        view_maker: ViewMaker,
        views: Views | None,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(requires_grad=False)
        self.network.set_precision("fp32")
        self.preprocessing = preprocessing
        self.input_type = input_type
        self.segment_shape = segment_shape(preprocessing, input_type)
        self.view_maker = view_maker
        self.views = views
        self.device = device
        self._block_views = repeat_views(views, BLOCK) if views is not None else None

    def features(self, segments: Samples) -> Samples:
        """Compute what a dataset folder stores of a clip's segments. Shape: (S, samples) -> (S, *segment_shape)."""
        return segments if self.input_type == "wav" else self.preprocessing.features(segments)

    def rows(self, features: Samples) -> Tensor:
        """Embed segments: one row each, or without attention one per view.

        A segment's rows do not depend, to the last bit, on the other segments.

        Shape:
            (S, *segment_shape) -> (S, rows, width), float32 on the CPU.

        Raises:
            DataError: the network's weights give numbers that are not finite.
        """
        parts = []
        with torch.inference_mode():
            for start in range(0, len(features), BLOCK):
                raw = torch.zeros(BLOCK, *self.segment_shape)
                part = torch.from_numpy(np.ascontiguousarray(features[start : start + BLOCK]))
                raw[: len(part)] = part
                rows = embed_segments(self.network, self.view_maker, raw.to(self.device), self._block_views)
                parts.append(rows[: len(part)].cpu())
        embedded = torch.cat(parts)
        if not (embedded.abs() <= LARGEST_EMBEDDING).all():  # NaN is not either
            raise DataError("the network's embeddings are not finite or too large: its weights are unusable")
        return embedded

    def clip_rows(self, clips: Sequence[Samples]) -> Iterator[Tensor]:
        """Embed clips of one or more segments together. Shape: each (S, *segment_shape) -> each (S * rows, width)."""
        if clips:
            rows = self.rows(np.concatenate(clips))
            for part in torch.split(rows, [len(clip) for clip in clips]):
                yield part.flatten(0, 1)

    def embed_clips(self, clips: Clips) -> Iterator[tuple[LoadedClip, Tensor]]:
        """Load and embed clips, a group at a time; yields each with its rows (S * rows, width).

        Raises:
            DataError: a clip cannot be used.
        """
        group: list[LoadedClip] = []
        for clip in load_clips(clips, self.preprocessing):
            group.append(clip)
            if sum(len(loaded.segments) for loaded in group) >= GROUP:
                yield from self._embed_group(group)
                group = []
        yield from self._embed_group(group)

    def _embed_group(self, group: list[LoadedClip]) -> Iterator[tuple[LoadedClip, Tensor]]:
        yield from zip(group, self.clip_rows([self.features(clip.segments) for clip in group]), strict=True)


def embed_segments(network: FewShotNetwork, view_maker: ViewMaker, raw: Tensor, views: Views | None) -> Tensor:
    """Rows of raw segments, with views if their parameters are given. Shape: raw (n, *segment) -> (n, rows, width)."""
    if views is None:
        return network.embed(view_maker.plain(network, raw))
    return network.embed(view_maker.views(network, raw, views))


def segment_shape(preprocessing: Preprocessing, input_type: Literal["spec", "wav"]) -> tuple[int, ...]:
    """Shape of a segment as a dataset folder stores it: (mels, frames), or (samples,) for waveform input."""
    if input_type == "wav":
        return (preprocessing.segment_samples,)
    return preprocessing.n_mels, preprocessing.frames


def repeat_views(views: Views, segments: int) -> Views:
    """The parameters of one segment's views for each of several segments."""
    if isinstance(views, WaveformDraw):
        return views[torch.arange(len(views)).repeat(segments)]
    return SpecAugmentDraw(**{name: values.repeat_interleave(segments, 0) for name, values in vars(views).items()})
