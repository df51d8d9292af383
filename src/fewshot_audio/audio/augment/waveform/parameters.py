"""The parameters of waveform views, one row per example: sliced, moved to a device, saved, described."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


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

    def __len__(self) -> int:
        return len(self.gain_on)

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """Return the parameters of some examples: a slice, an index tensor or a mask."""
        return self._map(lambda values: values[rows])

    def to(self, device: torch.device | str) -> Self:
        """Return the draw with its tensors on ``device``."""
        return self._map(lambda values: values.to(device))

    def to_dict(self) -> dict[str, Tensor | int]:
        """Return tensors and integers by field, which ``torch.load(weights_only=True)`` can read."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the draw of ``to_dict``.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**values)

    def describe(self, row: int) -> list[str]:
        """Describe the transforms that apply to one example, one line each, in order of application."""
        lines = {
            "lowpass": f"low-pass {self.lowpass_hz[row]:.0f} Hz",
            "pitch": f"pitch {self.pitch_semitones[row]:+.2f} semitones",
            "shift": f"shift {self.shift_samples[row] / self.sample_rate:+.3f} s",
            "inversion": "time inversion",
            "gain": f"gain {self.gain_db[row]:+.1f} dB",
            "noise": f"noise {self.noise_snr_db[row]:.1f} dB SNR, f_decay {self.noise_f_decay[row]:+.2f}",
            "highpass": f"high-pass {self.highpass_hz[row]:.0f} Hz",
            "bandstop": f"band-stop {self.bandstop_hz[row]:.0f} Hz, width {self.bandstop_bandwidth[row]:.2f} of it",
            "spliceout": f"splice-out of {int(self.spliceout_width[row].sum()) / 2 / self.sample_rate:.3f} s"
            f" at {self.spliceout_width.shape[1]} joints",
            "stretch": f"stretch x {self.stretch_ratio[row]:.3f}",
            "mask": f"{self.mask_start.shape[1]} time masks of {self.mask_length / self.sample_rate:.3f} s",
        }
        return [line for name, line in lines.items() if getattr(self, f"{name}_on")[row]]

    def _map(self, change: Any) -> Self:
        values = {name: change(v) if isinstance(v, Tensor) else v for name, v in self.to_dict().items()}
        return type(self)(**values)  # type: ignore[arg-type]
