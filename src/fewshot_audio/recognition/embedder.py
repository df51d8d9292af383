"""From segments to the rows that a trained network judges by, the same bits in whatever company they come."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import make_views

BLOCK = 8
"""Segments that pass the network together, always: matrix products round differently for another number of rows."""

Views = SpecAugmentDraw | WaveformDraw


class Embedder:
    """A trained network in evaluation mode, with its preprocessing and its frozen views.

    ``views`` holds the parameters of one segment's augmented views, used for every segment; None where the network is
    tested without views.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        experiment: ExperimentConfig,
        preprocessing: Preprocessing,
        views: Views | None,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(requires_grad=False)
        self.network.set_precision("fp32")
        self.experiment = experiment
        self.preprocessing = preprocessing
        self.views = views
        self.device = device
        self._maker = make_views(experiment, preprocessing, None)
        self._draw = repeat_views(views, BLOCK) if views is not None else None

    @property
    def segment_shape(self) -> tuple[int, ...]:
        """Shape of what the network is given of a segment: (mels, frames), or (samples,)."""
        if self.experiment.input_type == "wav":
            return (self.preprocessing.segment_samples,)
        return self.preprocessing.n_mels, self.preprocessing.frames

    def features(self, segments: Samples) -> Samples:
        """What a dataset folder keeps of a clip's segments. Shape: (S, samples) -> (S, *segment_shape)."""
        return segments if self.experiment.input_type == "wav" else self.preprocessing.features(segments)

    def rows(self, features: Samples) -> Tensor:
        """Embed segments: one row each, or without attention one per view.

        A segment's rows do not depend, to the last bit, on the others. Shape: (S, *segment_shape) -> (S, rows, width),
        float32 on the CPU.
        """
        parts = []
        with torch.inference_mode():
            for start in range(0, len(features), BLOCK):
                raw = torch.zeros(BLOCK, *self.segment_shape)
                part = torch.from_numpy(np.ascontiguousarray(features[start : start + BLOCK]))
                raw[: len(part)] = part
                parts.append(self._block(raw.to(self.device))[: len(part)].cpu())
        return torch.cat(parts)

    def clip_rows(self, clips: Sequence[Samples]) -> Iterator[Tensor]:
        """Embed clips of one or more segments together. Shape: each (S, *segment_shape) -> each (S * rows, width)."""
        if clips:
            rows = self.rows(np.concatenate(clips))
            for part in torch.split(rows, [len(clip) for clip in clips]):
                yield part.flatten(0, 1)

    def _block(self, raw: Tensor) -> Tensor:
        views = self._maker.plain(self.network, raw)
        if self._draw is not None:
            views = self._maker.views(self.network, raw, self._draw)
        encoded = self.network.encode(views.flatten(0, 1)).view(len(raw), views.shape[1], -1)
        return self.network.transform(self.network.fuse(encoded))


def repeat_views(views: Views, segments: int) -> Views:
    """The parameters of one segment's views for each of several segments."""
    if isinstance(views, WaveformDraw):
        return views[torch.arange(len(views)).repeat(segments)]
    return SpecAugmentDraw(**{name: values.repeat_interleave(segments, 0) for name, values in vars(views).items()})
