"""The two kinds of views as modules, for training loops of your own.

Both make views whether they are in training or evaluation mode: the published testing uses views, too.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.audio.augment.spectrogram import draw_specaugment, specaugment_views
from fewshot_audio.audio.augment.waveform import draw_waveform_views, waveform_views
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.augmentation import SpecAugParams, WaveAugParams
from fewshot_audio.config.checks import warp_errors
from fewshot_audio.config.validation import validate
from fewshot_audio.errors import ConfigError


class SpecAugment(nn.Module):
    """Views of spectrograms: the original, time warp, time masks, frequency masks (Park et al. 2019).

    The defaults are those published for ESC-50.

    Args:
        mask_param: largest width of a mask: frames for time, mel bins for frequency.
        W: largest shift of the time warp, frames; less than half of the spectrogram.
        num_mask: masks in each masked view.
        mask_value: value inside a mask; normalize first, then 0 is the mean.
        p: largest share of the frames that one time mask may cover.
        generator: a CPU generator of the random draws; torch's global one if None.

    Shape:
        (n, mels, frames) -> (n, 4, mels, frames).

    Raises:
        ConfigError: an argument is out of its range, or the spectrograms are too short for the time warp.

    Example:
        >>> augment = SpecAugment(mask_param=16, generator=torch.Generator().manual_seed(0))
        >>> augment(torch.randn(10, 128, 157)).shape
        torch.Size([10, 4, 128, 157])
    """

    def __init__(
        self,
        *,
        mask_param: int = 7,
        W: int = 20,
        num_mask: int = 2,
        mask_value: float = 0.0,
        p: float = 0.3127,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        values = {"mask_param": mask_param, "W": W, "num_mask": num_mask, "mask_value": mask_value, "p": p}
        self.params = validate(SpecAugParams, {"use": True, **values}, "SpecAugment")
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Draw and make the views."""
        if x.ndim != 3:
            raise ValueError(f"spectrograms are {tuple(x.shape)}, expected (n, mels, frames)")
        n, mels, frames = x.shape
        if errors := warp_errors(self.params, frames):
            raise ConfigError("\n".join(errors))
        draw = draw_specaugment(n, mels, frames, self.params, self.generator or torch.default_generator)
        return specaugment_views(x, draw, self.params.mask_value)


class WaveformAugment(nn.Module):
    """Views of waveforms: the original, then copies that pass the chain of random transforms.

    The defaults are the published ones; each transform has a probability ``*_p``, such as ``pitchshift_p=0``.

    Args:
        aug_num: augmented copies of each waveform.
        sample_rate: of the waveforms, in Hz.
        stats: spectral statistics of the training recordings, to which the filters and the noise adapt; if None, those
            of each batch are measured, which takes time.
        generator: a CPU generator of the random draws; torch's global one if None.
        **params: further keys of the config section ``waveaug_params``.

    Shape:
        (n, samples) -> (n, aug_num + 1, samples) float32.

    Raises:
        ConfigError: an argument is unknown or out of its range.

    Example:
        >>> augment = WaveformAugment(aug_num=2, pitchshift_p=0.0, stats=WaveStats(2000.0, 1500.0, 0.2))
        >>> augment(torch.randn(4, 16_000)).shape
        torch.Size([4, 3, 16000])
    """

    def __init__(
        self,
        aug_num: int = 3,
        sample_rate: int = 16_000,
        *,
        stats: WaveStats | None = None,
        generator: torch.Generator | None = None,
        **params: Any,
    ) -> None:
        super().__init__()
        values = {"use": True, "aug_num": aug_num, **params}
        self.params = validate(WaveAugParams, values, "WaveformAugment")
        self.sample_rate = sample_rate
        self.stats = stats
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Draw and make the views."""
        if x.ndim != 2:
            raise ValueError(f"waveforms are {tuple(x.shape)}, expected (n, samples)")
        n, samples = x.shape
        stats = self.stats or WaveStats.of(x.detach().float().cpu().numpy(), self.sample_rate)
        draw = draw_waveform_views(
            self.params,
            stats,
            n * self.params.aug_num,
            samples,
            self.generator or torch.default_generator,
            self.sample_rate,
        )
        return waveform_views(x, draw)
