"""SpecAugment views (Park et al. 2019, https://arxiv.org/abs/1904.08779).

Drawing the parameters is separate from applying them, so that a draw can be saved and repeated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_audio.config.augmentation import SpecAugParams
from fewshot_audio.runtime.tensors import send

N_VIEWS = 4


@dataclass(frozen=True)
class SpecAugmentDraw:
    """Parameters of the views of n examples; int64 on the CPU.

    Attributes:
        warp_source: frame that is moved (n,).
        warp_shift: by how many frames (n,); positive is later.
        time_start: first frame of each time mask (n, num_mask).
        time_width: frames of each time mask (n, num_mask).
        freq_start: first mel bin of each frequency mask (n, num_mask).
        freq_width: mel bins of each frequency mask (n, num_mask).
    """

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
    n: int, mels: int, frames: int, params: SpecAugParams, generator: torch.Generator
) -> SpecAugmentDraw:
    """Draw the parameters of ``n`` examples.

    Widths are uniform in 1..cap; the cap is ``mask_param``, for a time mask at most ``p * frames``, for a frequency
    mask at most ``mels``. Starts are uniform among those with which the mask lies inside. The warp moves a frame of
    [W, frames - W) by at most W frames.

    Args:
        n: number of examples.
        mels: mel bins of a spectrogram.
        frames: frames of a spectrogram.
        params: the ranges; W must be below ``frames / 2``.
        generator: a CPU generator.
    """
    widest_time = min(params.mask_param, int(params.p * frames))
    widest_freq = min(params.mask_param, mels)
    masks = (n, params.num_mask)

    def widths(widest: int) -> Tensor:  # of no frame if p leaves none
        return torch.randint(1, max(widest, 1) + 1, masks, generator=generator).clamp(max=widest)

    time_width, freq_width = widths(widest_time), widths(widest_freq)
    return SpecAugmentDraw(
        warp_source=torch.randint(params.W, frames - params.W, (n,), generator=generator),
        warp_shift=torch.randint(-params.W, params.W + 1, (n,), generator=generator),
        time_start=uniform_up_to(frames - time_width, generator),
        time_width=time_width,
        freq_start=uniform_up_to(mels - freq_width, generator),
        freq_width=freq_width,
    )


def uniform_up_to(limit: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an integer in 0..limit, both included, for each element of ``limit``."""
    return (torch.rand(limit.shape, generator=generator, dtype=torch.float64) * (limit + 1)).long()


def specaugment_views(x: Tensor, draw: SpecAugmentDraw, mask_value: float) -> Tensor:
    """Make the four views of each example: original, time warp, time masks, frequency masks, each alone.

    Args:
        x: spectrograms; not changed.
        draw: parameters of each of them.
        mask_value: put under the masks.

    Shape:
        x (n, mels, frames) -> (n, 4, mels, frames) on x's device.
    """
    mels, frames = x.shape[-2:]
    time = mask_positions(draw.time_start, draw.time_width, frames, x.device)
    freq = mask_positions(draw.freq_start, draw.freq_width, mels, x.device)
    views = x.new_empty(x.shape[0], N_VIEWS, mels, frames)
    views[:, 0] = x
    views[:, 1] = time_warp(x, draw.warp_source, draw.warp_shift)
    views[:, 2] = x.masked_fill(time.unsqueeze(1), mask_value)
    views[:, 3] = x.masked_fill(freq.unsqueeze(2), mask_value)
    return views


def time_warp(x: Tensor, source: Tensor, shift: Tensor) -> Tensor:
    """Move the frame ``source`` of each example to ``source + shift``, while the ends stay in place.

    Time is mapped piecewise linearly and values are interpolated linearly. Shift 0 is the identity.

    Shape:
        x (n, mels, frames), source (n,), shift (n,) -> (n, mels, frames).
    """
    frames = x.shape[-1]
    last = frames - 1
    if last < 2:
        return x.clone()
    # The frame is never moved to an end, so that both pieces have a length.
    target = (source + shift).clamp(1, last - 1).double().unsqueeze(-1)
    origin = source.clamp(1, last - 1).double().unsqueeze(-1)
    t = torch.arange(frames, dtype=torch.float64)
    left = t * origin / target
    right = last - (last - t) * (last - origin) / (last - target)
    position = torch.where(t <= target, left, right).clamp(0, last)
    below = position.floor().clamp(max=last - 1)
    weight = send((position - below).to(x.dtype).unsqueeze(1), x.device)
    index = send(below.long().unsqueeze(1), x.device).expand(x.shape)
    return torch.lerp(x.gather(-1, index), x.gather(-1, index + 1), weight)


def mask_positions(start: Tensor, width: Tensor, size: int, device: torch.device) -> Tensor:
    """Return which of ``size`` positions lie under a mask.

    Shape:
        start and width (n, masks) -> (n, size) bool on ``device``.
    """
    position = torch.arange(size)
    inside = (position >= start.unsqueeze(-1)) & (position < (start + width).unsqueeze(-1))
    return send(inside.any(1), device)
