"""The parameters of waveform views, one row per example."""

from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from fewshot_audio.audio.augment.waveform.extra import ExtraDraw


@dataclass(frozen=True)
class WaveformDraw:
    """Parameters of the transforms of ``n`` examples, in order of application; ``*_on`` (n,) bool: which ones apply.

    Draws are kept on the CPU, where the rows and sizes that they decide can be read without waiting for a device; a
    draw on another device works too.
    """

    n_samples: int
    sample_rate: int
    lowpass_on: Tensor
    lowpass_hz: Tensor  # (n,) cutoff
    pitch_on: Tensor
    pitch_semitones: Tensor  # (n,)
    shift_on: Tensor
    shift_samples: Tensor  # (n,) int64, positive is later
    inversion_on: Tensor
    gain_on: Tensor
    gain_db: Tensor  # (n,)
    noise_on: Tensor
    noise_snr_db: Tensor  # (n,)
    noise_f_decay: Tensor  # (n,) exponent of the amplitude spectrum
    noise_seed: Tensor  # (n,) int64 below 2 ** 32
    highpass_on: Tensor
    highpass_hz: Tensor  # (n,) cutoff
    bandstop_on: Tensor
    bandstop_hz: Tensor  # (n,) center
    bandstop_bandwidth: Tensor  # (n,) as a fraction of the center
    spliceout_on: Tensor
    spliceout_start: Tensor  # (n, intervals) int64, in order and disjoint
    spliceout_width: Tensor  # (n, intervals) int64, even
    stretch_on: Tensor
    stretch_ratio: Tensor  # (n,) above 1 is longer
    mask_on: Tensor
    mask_start: Tensor  # (n, masks) int64
    mask_length: int  # samples of each mask
    extra: tuple[ExtraDraw, ...] = ()  # transforms from outside

    def __len__(self) -> int:
        return len(self.gain_on)

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """Return the parameters of some examples: a slice, an index tensor or a mask."""
        values: dict[str, Any] = {name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)}
        extra = tuple(each.with_tensors({k: v[rows] for k, v in each.tensors.items()}) for each in self.extra)
        return replace(self, **values, extra=extra)
