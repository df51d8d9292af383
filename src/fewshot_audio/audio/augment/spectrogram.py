"""SpecAugment views (Park et al. 2019): parameters are drawn apart from being applied."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fewshot_audio.runtime.tensors import send

N_VIEWS = 4


class SpecAugmentParams(Protocol):
    """What a draw needs to know; see ``config.SpecAugParams``."""

    @property
    def mask_param(self) -> int:
        """Largest mask width."""

    @property
    def W(self) -> int:
        """Largest warp, frames."""

    @property
    def num_mask(self) -> int:
        """Masks per view."""

    @property
    def p(self) -> float:
        """Largest share of the frames under one time mask."""


@dataclass(frozen=True)
class SpecAugmentDraw:
    """One row of parameters per example: warps (n,), masks (n, num_mask); int64 on the CPU."""

    warp_source: Tensor
    warp_shift: Tensor
    time_start: Tensor
    time_width: Tensor
    freq_start: Tensor
    freq_width: Tensor

    def __len__(self) -> int:
        return len(self.warp_source)

    def __getitem__(self, rows: slice) -> "SpecAugmentDraw":
        """Return the parameters of some of the examples."""
        return SpecAugmentDraw(**{name: values[rows] for name, values in vars(self).items()})


def draw_specaugment(
    n: int, mels: int, frames: int, params: SpecAugmentParams, generator: torch.Generator
) -> SpecAugmentDraw:
    """Draw the parameters of ``n`` examples.

    Widths are uniform in 1..mask_param, a time mask at most ``p * frames`` wide; starts are uniform where the mask
    lies inside. The warp moves a point of [W, frames - W) by at most W frames. Needs W < frames / 2.
    """
    widest_time = min(params.mask_param, int(params.p * frames))
    widest_freq = min(params.mask_param, mels)
    masks = (n, params.num_mask)

    def upto(limit: Tensor) -> Tensor:  # uniform in 0..limit, limit included, per element
        return (torch.rand(limit.shape, generator=generator, dtype=torch.float64) * (limit + 1)).long()

    def widths(widest: int) -> Tensor:
        return torch.randint(1, params.mask_param + 1, masks, generator=generator).clamp(max=widest)

    time_width, freq_width = widths(widest_time), widths(widest_freq)
    return SpecAugmentDraw(
        warp_source=torch.randint(params.W, frames - params.W, (n,), generator=generator),
        warp_shift=torch.randint(-params.W, params.W + 1, (n,), generator=generator),
        time_start=upto(frames - time_width),
        time_width=time_width,
        freq_start=upto(mels - freq_width),
        freq_width=freq_width,
    )


def specaugment_views(x: Tensor, draw: SpecAugmentDraw, mask_value: float) -> Tensor:
    """Make the four views of each example: original, time warp, time mask, frequency mask, each alone.

    Shape: x (n, mels, frames) -> (n, 4, mels, frames) on x's device; x itself is not changed.
    """
    mels, frames = x.shape[-2:]
    time = covered(draw.time_start, draw.time_width, frames, x.device)
    freq = covered(draw.freq_start, draw.freq_width, mels, x.device)
    views = x.new_empty(x.shape[0], N_VIEWS, mels, frames)
    views[:, 0] = x
    views[:, 1] = time_warp(x, draw.warp_source, draw.warp_shift)
    views[:, 2] = x.masked_fill(time.unsqueeze(1), mask_value)
    views[:, 3] = x.masked_fill(freq.unsqueeze(2), mask_value)
    return views


def time_warp(x: Tensor, source: Tensor, shift: Tensor) -> Tensor:
    """Move the frame ``source`` of each example to ``source + shift``, the ends staying where they are.

    Time is mapped piecewise linearly and values are interpolated linearly. Shift 0 is the identity.

    Shape: x (n, mels, frames), source (n,), shift (n,) -> (n, mels, frames).
    """
    frames = x.shape[-1]
    last = frames - 1
    if last < 2:
        return x.clone()
    # The moved point stays off the ends, so that both pieces have a length.
    moved = (source + shift).clamp(1, last - 1).double().unsqueeze(-1)
    origin = source.clamp(1, last - 1).double().unsqueeze(-1)
    t = torch.arange(frames, dtype=torch.float64)
    left = t * origin / moved
    right = last - (last - t) * (last - origin) / (last - moved)
    where = torch.where(t <= moved, left, right).clamp(0, last)
    below = where.floor().clamp(max=last - 1)
    weight = send((where - below).to(x.dtype).unsqueeze(1), x.device)
    index = send(below.long().unsqueeze(1), x.device).expand(x.shape)
    return torch.lerp(x.gather(-1, index), x.gather(-1, index + 1), weight)


def covered(start: Tensor, width: Tensor, size: int, device: torch.device) -> Tensor:
    """Where masks lie. Shape: start and width (n, masks) -> (n, size), true under a mask."""
    position = torch.arange(size)
    inside = (position >= start.unsqueeze(-1)) & (position < (start + width).unsqueeze(-1))
    return send(inside.any(1), device)
