"""From raw segments to normalised spectrogram views, the same in training, validation and testing."""

from typing import Any, Protocol

import torch
from torch import Tensor

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.resample import resample
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.augment.spectrogram import SpecAugmentDraw, draw_specaugment, specaugment_views
from fewshot_audio.augment.waveform import WaveformDraw, draw_waveform_views, waveform_views
from fewshot_audio.config import ExperimentConfig, SpecAugParams, WaveAugParams
from fewshot_audio.models.network import FewShotNetwork


class ViewMaker(Protocol):
    """Makes views of segments of one input type. Draws are apart from being applied and independent of batches."""

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """Mel bins and frames that the network sees of a segment of that shape."""

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> Any:
        """Draw the parameters of the views of ``n`` segments."""

    def select(self, draw: Any, segments: slice) -> Any:
        """The parameters of some of the segments of a draw."""

    def plain(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """The originals alone. Shape: raw (n, *segment) -> (n, 1, mels, frames)."""

    def views(self, network: FewShotNetwork, raw: Tensor, draw: Any) -> Tensor:
        """The originals and their augmented views. Shape: raw (n, *segment) -> (n, views, mels, frames)."""


class SpecViews:
    """Views of spectrogram segments: made after normalisation, so that mask value 0 is the dataset's mean."""

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
        """One row a segment."""
        return draw[segments]

    def plain(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """Normalise."""
        return network.normalize(raw).unsqueeze(1)

    def views(self, network: FewShotNetwork, raw: Tensor, draw: SpecAugmentDraw) -> Tensor:
        """Normalise, then warp and mask."""
        return specaugment_views(network.normalize(raw), draw, self.params.mask_value)


class WaveViews:
    """Views of waveform segments: augmented as waveforms, then through the same log-mel as everywhere."""

    def __init__(self, params: WaveAugParams, preprocessing: Preprocessing, stats: WaveStats | None) -> None:
        self.params = params
        self.preprocessing = preprocessing
        self.stats = stats
        self.log_mel = preprocessing.log_mel(torch.float64)

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """Mel bins and frames of the log-mel spectrogram."""
        return self.preprocessing.n_mels, 1 + segment[0] // self.preprocessing.hop_length

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> WaveformDraw:
        """Draw ``aug_num`` rows a segment."""
        rate = self.preprocessing.sample_rate
        return draw_waveform_views(self.params, self.stats, n * self.params.aug_num, segment[0], generator, rate)

    def select(self, draw: WaveformDraw, segments: slice) -> WaveformDraw:
        """``aug_num`` rows a segment."""
        return draw[segments.start * self.params.aug_num : segments.stop * self.params.aug_num]

    def plain(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """What the encoder reads of the waveforms."""
        return self._input(network, raw).unsqueeze(1)

    def views(self, network: FewShotNetwork, raw: Tensor, draw: WaveformDraw) -> Tensor:
        """Augment, then as the originals."""
        return self._input(network, waveform_views(raw, draw))

    def _input(self, network: FewShotNetwork, waveforms: Tensor) -> Tensor:
        """Normalised log-mel features, or the waveforms at the rate of an encoder that reads those."""
        if network.encoder.sample_rate is not None:
            return resample(waveforms, self.preprocessing.sample_rate, network.encoder.sample_rate)
        # Judged by as exact features as preparation makes: float32 errs by decibels where a recording is silent.
        samples = waveforms if network.training else waveforms.double()
        features: Tensor = self.log_mel.to(waveforms.device)(samples)
        return network.normalize(features.to(waveforms.dtype))


def make_views(experiment: ExperimentConfig, preprocessing: Preprocessing | None, stats: WaveStats | None) -> ViewMaker:
    """The view maker of the experiment's input type; folders of other tools have the published preprocessing."""
    if experiment.input_type == "spec":
        return SpecViews(experiment.specaug_params)
    return WaveViews(experiment.waveaug_params, preprocessing or Preprocessing(), stats)
