"""Colored noise at a signal-to-noise ratio, reproducible from a seed per example."""

import math

import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform.rotation import rotations

_WORD = 0xFFFFFFFF


def add_noise(x: Tensor, snr_db: Tensor, f_decay: Tensor, seeds: Tensor, sample_rate: int) -> Tensor:
    """Add colored noise to each example.

    Args:
        x: the examples.
        snr_db: by how many dB the noise's power lies below the example's mean power.
        f_decay: color of the noise, as in ``colored_noise``.
        seeds: seed of each example's noise.
        sample_rate: in Hz.

    Shape:
        x (n, samples); snr_db, f_decay, seeds (n,) -> (n, samples).
    """
    noise = colored_noise(f_decay.to(x), seeds.to(x.device), x.shape[1], sample_rate)
    level = _rms(x) / _rms(noise).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.addcmul(x, noise, (level * 10 ** (-snr_db.to(x) / 20)).unsqueeze(1))


def colored_noise(f_decay: Tensor, seeds: Tensor, n_samples: int, sample_rate: int) -> Tensor:
    """Make Gaussian-like noise with amplitude spectrum ``u(f) ** -f_decay``.

    ``u`` rises linearly from 1 at 0 Hz to sqrt(sample_rate / 2) at the Nyquist frequency, the axis of
    torch-audiomentations' AddColoredNoise. The power is therefore flat below sample_rate / 2 / sqrt(sample_rate / 2)
    (90 Hz at 16 kHz), and well above it falls by 6.02 * f_decay dB per octave.

    Args:
        f_decay: exponent of the amplitude (not the power): 0 is white noise, 0.5 pink, 1 brown, -1 violet.
        seeds: below 2 ** 32. The phases are a hash of seed and frequency bin: the same on every device, and independent
            of the other examples.
        n_samples: length.
        sample_rate: in Hz.

    Shape:
        f_decay (n,) float, seeds (n,) int64 -> (n, n_samples), of arbitrary power.
    """
    size = _fast_length(n_samples)
    bins = size // 2 + 1
    axis = torch.linspace(1, math.sqrt(sample_rate / 2), bins, dtype=f_decay.dtype, device=f_decay.device)
    amplitude = torch.exp(-f_decay.unsqueeze(1) * axis.log())
    amplitude[:, 0] = 0  # noise has no constant part
    words = _hash(seeds.unsqueeze(1) + torch.arange(bins // 2 + 1, device=seeds.device))
    phases = torch.cat([words, words >> 16], dim=1)[:, :bins]  # a 32-bit word gives two phases
    spectrum = rotations(phases).mul_(amplitude)
    noise: Tensor = torch.fft.irfft(spectrum, n=size, norm="forward")
    return noise[:, :n_samples]


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(dim=1).sqrt()


def _hash(values: Tensor) -> Tensor:
    """Hash integers to uniform 32-bit words, by xor-shifts and by multiplications whose products fit 63 bits."""
    values = values & _WORD
    values = ((values >> 16) ^ values) * 0x21F0AAAD & _WORD
    values = ((values >> 15) ^ values) * 0x735A2D97 & _WORD
    return (values >> 15) ^ values


def _fast_length(n: int) -> int:
    """Return the smallest even length >= ``n`` without a prime factor above 5, for which the FFT is fast."""
    size = max(n + n % 2, 2)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2
