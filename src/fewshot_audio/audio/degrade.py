"""What recording and transmission do to a sound: known degradations of waveforms, for tests of robustness.

Each takes waveforms (n, samples) and their rate and returns the same shape. Afterwards ``degrade`` gives every waveform
the mean and deviation that it had, as preparation normalizes every recording.
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from fewshot_audio.audio.resample import resample

Degradation: TypeAlias = Literal["codec", "band", "room", "gain", "clip"]
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
TELEPHONE_RATE, TELEPHONE_BAND = 8000, (300.0, 3400.0)
MU = 255
REVERBERATION_SECONDS = 0.6
QUIET_DB, FULL_SCALE = -40.0, 32768
CLIPPED_SHARE = 0.1


def degrade(x: Tensor, name: Degradation, rate: int) -> Tensor:
    """Degrade waveforms.

    Args:
        x: the waveforms.
        name: "codec", telephony: 8 kHz, 8 bits by the mu-law (as in ITU-T G.711); "band", 300 to 3400 Hz only;
            "room", reverberation of 0.6 s (to -60 dB), as strong as the direct sound; "gain", recorded 40 dB below
            full scale at 16 bits; "clip", limited at the level that a tenth of the samples exceeds.
        rate: in Hz.

    Shape:
        (n, samples) -> (n, samples).

    Raises:
        ValueError: there is no such degradation.
    """
    if name not in _WAYS:
        raise ValueError(f"degradation {name!r}: expected one of {', '.join(DEGRADATIONS)}")
    return with_level_of(_WAYS[name](x, rate), x)


def with_level_of(x: Tensor, original: Tensor) -> Tensor:
    """Give waveforms the mean and deviation of others. Shape: both (n, samples)."""
    tiny = torch.finfo(x.dtype).tiny
    scale = original.std(-1, keepdim=True) / x.std(-1, keepdim=True).clamp(min=tiny)
    return (x - x.mean(-1, keepdim=True)) * scale + original.mean(-1, keepdim=True)


def mix(x: Tensor, background: Tensor, snr_db: float) -> Tensor:
    """Add backgrounds at a signal-to-noise ratio, of mean powers. Shape: both (n, samples) -> the same."""
    tiny = torch.finfo(x.dtype).tiny
    power, noise = (value.square().mean(-1, keepdim=True) for value in (x, background))
    return with_level_of(x + background * (power / noise.clamp(min=tiny) * 10 ** (-snr_db / 10)).sqrt(), x)


def _codec(x: Tensor, rate: int) -> Tensor:
    narrow = resample(x, rate, TELEPHONE_RATE)
    peak = narrow.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    compressed = (narrow / peak).sign() * torch.log1p(MU * (narrow / peak).abs()) / math.log1p(MU)
    levels = (MU + 1) // 2
    coded = (compressed * (levels - 1)).round() / (levels - 1)
    decoded = coded.sign() * torch.expm1(coded.abs() * math.log1p(MU)) / MU * peak
    wide = resample(decoded, TELEPHONE_RATE, rate)[..., : x.shape[-1]]
    return torch.nn.functional.pad(wide, (0, x.shape[-1] - wide.shape[-1]))


def _band(x: Tensor, rate: int) -> Tensor:
    frequencies = torch.fft.rfftfreq(x.shape[-1], 1 / rate, device=x.device)
    inside = (frequencies >= TELEPHONE_BAND[0]) & (frequencies <= TELEPHONE_BAND[1])
    inband: Tensor = torch.fft.irfft(torch.fft.rfft(x) * inside, n=x.shape[-1])
    return inband


def _room(x: Tensor, rate: int) -> Tensor:
    length = int(REVERBERATION_SECONDS * rate)
    noise = torch.randn(length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tail = noise * 10 ** (-3 * torch.arange(length) / length)  # 60 dB over the whole length
    tail[0] = 0
    response = tail / tail.square().sum().sqrt()
    response[0] = 1
    size = x.shape[-1] + length
    spectrum = torch.fft.rfft(x.double(), n=size) * torch.fft.rfft(response.to(x.device), n=size)
    reverberant: Tensor = torch.fft.irfft(spectrum, n=size)
    return reverberant[..., : x.shape[-1]].to(x.dtype)


def _gain(x: Tensor, _: int) -> Tensor:
    peak = x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return (x / peak * 10 ** (QUIET_DB / 20) * FULL_SCALE).round() / FULL_SCALE


def _clip(x: Tensor, _: int) -> Tensor:
    limit = x.abs().quantile(1 - CLIPPED_SHARE, dim=-1, keepdim=True)
    return x.clamp(-limit, limit)


_WAYS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "codec": _codec,
    "band": _band,
    "room": _room,
    "gain": _gain,
    "clip": _clip,
}
