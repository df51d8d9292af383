"""Resample waveform tensors by a windowed sinc (``decode`` resamples recordings)."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.errors import ConfigError

ZEROS = 24  # zero crossings of the sinc on each side
ROLL_OFF = 0.945  # cutoff as a share of the lower Nyquist frequency
MAX_WEIGHTS = 1 << 24  # of all filters together: rates without a large common divisor need many long ones


def resample(waveforms: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample waveforms from ``rate`` to ``new_rate`` Hz; equal rates return them as they are.

    Shape:
        (..., samples) -> (..., samples * new_rate // rate).

    Raises:
        ConfigError: the rates have no large common divisor, so that the filters would be too large.
    """
    if rate == new_rate:
        return waveforms
    common = math.gcd(rate, new_rate)
    down, up = rate // common, new_rate // common
    if down * up > MAX_WEIGHTS:
        raise ConfigError(f"cannot resample from {rate} to {new_rate} Hz: choose a rate with a larger common divisor")
    kernels, width = _kernels(down, up)
    samples = waveforms.shape[-1]
    padded = F.pad(waveforms.reshape(-1, 1, samples), (width, width + down), mode="replicate")
    phases = F.conv1d(padded, kernels.to(waveforms), stride=down)  # (n, up, steps): output sample step * up + phase
    resampled = phases.transpose(1, 2).flatten(1)[:, : samples * up // down]
    return resampled.reshape(*waveforms.shape[:-1], -1)


@functools.lru_cache(maxsize=8)
def _kernels(down: int, up: int) -> tuple[Tensor, int]:
    """Return one filter for each of the ``up`` positions of an output sample between input samples.

    With time in blocks of ``down`` input samples, the output at i / up is the sum of x[k] sinc(c (i / up - k / down)),
    where the cutoff c is in zero crossings per block; a squared cosine ends the sinc after ``ZEROS`` of them.

    Returns:
        Filters (up, 1, 2 * width + down), float64, and ``width``.
    """
    cutoff = min(down, up) * ROLL_OFF
    width = math.ceil(ZEROS * down / cutoff)
    inputs = torch.arange(-width, width + down, dtype=torch.float64) / down
    outputs = torch.arange(up, dtype=torch.float64) / up
    time = ((outputs.unsqueeze(1) - inputs) * cutoff).clamp(-ZEROS, ZEROS)
    kernels = torch.sinc(time) * torch.cos(math.pi * time / (2 * ZEROS)).square()
    return (kernels / kernels.sum(1, keepdim=True)).unsqueeze(1), width
