"""From raw segments to normalized spectrogram views, the same in training, validation and testing."""

from typing import Any, Protocol

import torch
from torch import Tensor

from fewshot_audio.audio.augment.inputs import Change, identity
from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw, draw_specaugment, specaugment_views
from fewshot_audio.audio.augment.waveform import WaveformDraw, draw_waveform_views, waveform_views
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.resample import resample
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config import ExperimentConfig, SpecAugParams, WaveAugParams
from fewshot_audio.models.network import FewShotNetwork


class ViewMaker(Protocol):
    """Makes views of segments of one input type.

    Parameters are drawn first and applied later, so that they do not depend on how segments are batched. ``change``
    augments normalized spectrograms (n, mels, frames) before views are made of them, so that all views of a segment
    share it. For an encoder that reads waveforms (mels, frames) is (samples,), and there is no ``change``.
    """

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """Mel bins and frames that the network sees of a segment of that shape."""

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> Any:
        """Draw the parameters of the views of ``n`` segments."""

    def select(self, draw: Any, segments: slice) -> Any:
        """The parameters of some of the segments of a draw."""

    def features(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """Normalized log-mel spectrograms of the originals. Shape: raw (n, *segment) -> (n, mels, frames)."""

    def plain(self, network: FewShotNetwork, raw: Tensor, change: Change = identity) -> Tensor:
        """The originals alone, as the encoder reads them. Shape: raw (n, *segment) -> (n, 1, mels, frames)."""

    def views(self, network: FewShotNetwork, raw: Tensor, draw: Any, change: Change = identity) -> Tensor:
        """The originals and their augmented views. Shape: raw (n, *segment) -> (n, views, mels, frames)."""


class SpecViews:
    """Views of spectrogram segments: made after normalization, so that mask value 0 is the dataset's mean."""

    def __init__(self, params: SpecAugParams) -> None:
        self.params = params

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """The segment's own shape."""
        mels, frames = segment
        return mels, frames

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> SpecAugmentDraw:
        """Draw warps and masks."""
        return draw_specaugment(n, segment[0], segment[1], self.params, generator)

    def select(self, draw: SpecAugmentDraw, segments: slice) -> SpecAugmentDraw:
        """One row per segment."""
        return draw[segments]

    def features(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """Normalize."""
        return network.normalize(raw)

    def plain(self, network: FewShotNetwork, raw: Tensor, change: Change = identity) -> Tensor:
        """Normalize."""
        return change(self.features(network, raw)).unsqueeze(1)

    def views(self, network: FewShotNetwork, raw: Tensor, draw: SpecAugmentDraw, change: Change = identity) -> Tensor:
        """Normalize, then warp and mask."""
        return specaugment_views(change(self.features(network, raw)), draw, self.params.mask_value)


class WaveViews:
    """Views of waveform segments: augmented as waveforms, then through the same front end as everywhere."""

    def __init__(self, params: WaveAugParams, preprocessing: Preprocessing, stats: WaveStats | None) -> None:
        self.params = params
        self.preprocessing = preprocessing
        self.stats = stats
        self.front_end = preprocessing.front_end(torch.float64)

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """Mel bins and frames of the features."""
        return self.preprocessing.n_mels, 1 + segment[0] // self.preprocessing.hop_length

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> WaveformDraw:
        """Draw ``aug_num`` rows per segment."""
        rate = self.preprocessing.sample_rate
        return draw_waveform_views(self.params, self.stats, n * self.params.aug_num, segment[0], generator, rate)

    def select(self, draw: WaveformDraw, segments: slice) -> WaveformDraw:
        """``aug_num`` rows per segment."""
        return draw[segments.start * self.params.aug_num : segments.stop * self.params.aug_num]

    def features(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """Compute the features, normalize."""
        # Testing computes features in float64, as preparation does: in float32 they are decibels off near silence.
        samples = raw if network.training else raw.double()
        features: Tensor = self.front_end.to(raw.device)(samples)
        return network.normalize(features.to(raw.dtype))

    def plain(self, network: FewShotNetwork, raw: Tensor, change: Change = identity) -> Tensor:
        """What the encoder reads of the waveforms."""
        return change(self._input(network, raw)).unsqueeze(1)

    def views(self, network: FewShotNetwork, raw: Tensor, draw: WaveformDraw, change: Change = identity) -> Tensor:
        """Augment the waveforms, then compute what the encoder reads."""
        views = self._input(network, waveform_views(raw, draw))
        return torch.stack([change(view) for view in views.unbind(1)], dim=1)

    def _input(self, network: FewShotNetwork, waveforms: Tensor) -> Tensor:
        """Normalized features, or the waveforms at the rate of an encoder that reads those."""
        rate = getattr(network.encoder, "sample_rate", None)
        if rate is not None:
            return resample(waveforms, self.preprocessing.sample_rate, rate)
        return self.features(network, waveforms)


def make_views(experiment: ExperimentConfig, preprocessing: Preprocessing | None, stats: WaveStats | None) -> ViewMaker:
    """The view maker of an experiment's input type.

    Args:
        experiment: input type, and the parameters of its augmentation.
        preprocessing: of the dataset; None, in a folder that other software made, means the published one.
        stats: of the dataset's waveforms, which the waveform transforms are scaled by.
    """
    if experiment.input_type == "spec":
        return SpecViews(experiment.specaug_params)
    return WaveViews(experiment.waveaug_params, preprocessing or Preprocessing(), stats)
