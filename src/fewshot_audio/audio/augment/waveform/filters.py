"""Windowed-sinc filters with one cutoff per example.

The filters are those of julius: a sinc at the cutoff frequency, limited by a Hann window to ``ZERO_CROSSINGS`` of its
zero crossings, edges continued by their last sample, zero phase (nothing moves in time). A high-pass is the signal
minus its low-pass, a band-stop the signal minus the difference of two low-passes.

At its cutoff a windowed sinc passes half the amplitude (-6 dB). The -3 dB point of a low-pass lies 5 % below its
cutoff, that of a high-pass 5 % above; 25 % past the cutoff a signal is attenuated by more than 40 dB.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LOWEST_HZ = 20.0
"""Lowest cutoff: the lower it is, the longer the kernel."""

ZERO_CROSSINGS = 8


def low_pass(x: Tensor, cutoff_hz: Tensor, sample_rate: int) -> Tensor:
    """Keep frequencies below each example's cutoff.

    Shape:
        x (n, samples), cutoff_hz (n,) -> (n, samples).
    """
    return _filter(x, cutoff_hz.double().unsqueeze(1) / sample_rate, weights=(1.0,), direct=0.0)


def high_pass(x: Tensor, cutoff_hz: Tensor, sample_rate: int) -> Tensor:
    """Keep frequencies above each example's cutoff.

    Shape:
        x (n, samples), cutoff_hz (n,) -> (n, samples).
    """
    return _filter(x, cutoff_hz.double().unsqueeze(1) / sample_rate, weights=(-1.0,), direct=1.0)


def band_stop(x: Tensor, center_hz: Tensor, bandwidth: Tensor, sample_rate: int) -> Tensor:
    """Remove a band of frequencies around each example's center.

    Args:
        x: the examples.
        center_hz: center of each band.
        bandwidth: width of each band as a fraction of its center; the edges are clamped to ``LOWEST_HZ`` and half the
            sample rate.
        sample_rate: in Hz.

    Shape:
        x (n, samples), center_hz (n,), bandwidth (n,) -> (n, samples).
    """
    center_hz, bandwidth = center_hz.double(), bandwidth.double()
    edges = torch.stack([center_hz * (1 - bandwidth / 2), center_hz * (1 + bandwidth / 2)], dim=1)
    return _filter(x, edges.clamp(LOWEST_HZ, sample_rate / 2) / sample_rate, weights=(1.0, -1.0), direct=1.0)


def _filter(x: Tensor, cutoffs: Tensor, weights: Sequence[float], direct: float) -> Tensor:
    """Apply ``direct * identity + sum of weights[i] * low-pass(cutoffs[:, i])`` to each example.

    Examples are grouped by their kernel's length rounded up to a power of two, so that the result of one does not
    depend on which others are in the batch.

    Shape:
        x (n, samples); cutoffs (n, low-passes), as fractions of the sample rate -> (n, samples).
    """
    half_widths = (ZERO_CROSSINGS / 2 / cutoffs.amin(dim=1)).long()
    radii = [1 << (half - 1).bit_length() for half in half_widths.tolist()]
    out = torch.empty_like(x)
    for radius in sorted(set(radii)):
        rows = torch.tensor([row for row, value in enumerate(radii) if value == radius])
        kernels = _low_pass_kernels(cutoffs[rows], half_widths[rows], radius)
        kernel = (kernels * torch.tensor(weights, device=kernels.device).unsqueeze(1)).sum(dim=1)
        kernel[:, radius] += direct
        index = rows.to(x.device)
        out.index_copy_(0, index, _convolve(x.index_select(0, index), kernel.to(device=x.device, dtype=x.dtype)))
    return out


def _low_pass_kernels(cutoffs: Tensor, half_widths: Tensor, radius: int) -> Tensor:
    """Return windowed sincs that sum to 1 and are zero outside their half width.

    Shape:
        cutoffs (n, low-passes), half_widths (n,) -> (n, low-passes, 2 * radius + 1).
    """
    time = torch.arange(-radius, radius + 1, dtype=torch.float64, device=cutoffs.device)
    position = time / half_widths.unsqueeze(1)
    window = torch.where(position.abs() < 1, 0.5 + 0.5 * torch.cos(math.pi * position), 0.0)
    kernels = window.unsqueeze(1) * torch.sinc(2 * cutoffs.unsqueeze(2) * time)
    return kernels / kernels.sum(dim=2, keepdim=True)


def _convolve(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each row with its own kernel by overlap-save, whose short transforms stay in the cache.

    Shape:
        x (n, samples), kernels (n, 2 * radius + 1) -> (n, samples).
    """
    samples = x.shape[1]
    radius = kernels.shape[1] // 2
    block = max(8 * radius, 2048)
    step = block - 2 * radius
    blocks = -(-samples // step)
    padded = x.new_empty((x.shape[0], radius + blocks * step + radius))
    padded[:, :radius] = x[:, :1]
    padded[:, radius : radius + samples] = x
    padded[:, radius + samples :] = x[:, -1:]
    spectra = torch.fft.rfft(padded.unfold(1, block, step)).mul_(torch.fft.rfft(kernels, n=block).unsqueeze(1))
    valid: Tensor = torch.fft.irfft(spectra, n=block)[..., 2 * radius :]
    return valid.reshape(x.shape[0], -1)[:, :samples]
