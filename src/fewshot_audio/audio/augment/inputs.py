"""Random changes of the training inputs themselves: time, filter curves, masks.

Drawing the parameters is separate from applying them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import mask_positions, uniform_up_to
from fewshot_audio.config.input_augmentation import InputAugmentation

Change: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class InputDraw:
    """Parameters of the changes of n segments; float64 and int64 on the CPU.

    Attributes:
        start: input frame that output frame 0 shows (n,).
        pace: input frames per output frame (n,): output frame t shows input frame ``start + pace * t``, circularly.
        curve: gain of each mel bin in dB (n, mels).
        time_start: first frame of each time mask (n, time_masks).
        time_width: frames of each time mask (n, time_masks).
        freq_start: first mel bin of each frequency mask (n, frequency_masks).
        freq_width: mel bins of each frequency mask (n, frequency_masks).
    """

    start: Tensor
    pace: Tensor
    curve: Tensor
    time_start: Tensor
    time_width: Tensor
    freq_start: Tensor
    freq_width: Tensor


def identity(x: Tensor) -> Tensor:
    """Leave the segments as they are."""
    return x


def draw_change(
    params: InputAugmentation, n: int, size: tuple[int, int], std: Tensor, generator: torch.Generator
) -> Change:
    """Draw how the support or the query segments of an episode are changed.

    Args:
        params: which changes, and their ranges.
        n: number of segments.
        size: (mels, frames) of a segment.
        std: standard deviation by which the segments are normalized, in dB.
        generator: a CPU generator.

    Returns:
        A function that maps normalized segments (n, mels, frames) to the same shape.
    """
    if not params.active:
        return identity
    return partial(change_inputs, draw=draw_inputs(params, n, size, generator), std=std)


def draw_inputs(params: InputAugmentation, n: int, size: tuple[int, int], generator: torch.Generator) -> InputDraw:
    """Draw the parameters of ``draw_change``; masks must not be wider than ``size``."""
    mels, frames = size

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    def masks(count: int, widths: list[int], size: int) -> tuple[Tensor, Tensor]:
        width = torch.randint(widths[0], widths[1] + 1, (n, count), generator=generator)
        return uniform_up_to(size - width, generator), width

    uniform(0, 1, 2 * n)  # what version 0.1 drew here for an option that is gone: a seed still gives the same numbers
    slowest, fastest = params.time_scale
    pace = uniform(slowest, fastest, n)
    start = uniform(0, 1, n) * (1 - pace).clamp(min=0) * (frames - 1)  # a crop lies inside the segment
    max_shift = int(params.shift * frames)
    shift = torch.randint(-max_shift, max_shift + 1, (n,), generator=generator)
    gain = uniform(-params.gain_db, params.gain_db, n, 1)
    heights = uniform(-params.filter_db, params.filter_db, n, params.filter_points)
    inner = uniform(0, mels - 1, n, params.filter_points - 2).sort(-1).values
    time_start, time_width = masks(params.time_masks, params.time_mask_width, frames)
    freq_start, freq_width = masks(params.frequency_masks, params.frequency_mask_width, mels)
    return InputDraw(
        start=start + shift,
        pace=pace,
        curve=gain + filter_curve(inner, heights, mels),
        time_start=time_start,
        time_width=time_width,
        freq_start=freq_start,
        freq_width=freq_width,
    )


def filter_curve(inner: Tensor, heights: Tensor, mels: int) -> Tensor:
    """Interpolate linearly between points over the mel bins: FilterAugment, linear type (Nam et al. 2022).

    Args:
        inner: positions of all points but the first and the last, in order; these lie at the first and the last bin.
        heights: gain at each point.
        mels: number of mel bins.

    Shape:
        inner (n, points - 2) in [0, mels - 1], heights (n, points) -> (n, mels).
    """
    n, points = heights.shape
    ends = inner.new_tensor([0, mels - 1]).expand(n, 2)
    positions = torch.cat([ends[:, :1], inner, ends[:, 1:]], dim=1)
    bins = torch.arange(mels, dtype=positions.dtype).expand(n, mels).contiguous()
    right = torch.searchsorted(positions, bins).clamp(1, points - 1)
    before, after = positions.gather(1, right - 1), positions.gather(1, right)
    weight = (bins - before) / (after - before).clamp(min=1e-9)
    return torch.lerp(heights.gather(1, right - 1), heights.gather(1, right), weight)


def change_inputs(x: Tensor, draw: InputDraw, std: Tensor) -> Tensor:
    """Move in time, filter, then mask with 0, the dataset's mean; skip the changes that have no effect.

    Args:
        x: normalized segments; not changed.
        draw: their parameters.
        std: standard deviation by which the segments are normalized, in dB.

    Shape:
        x (n, mels, frames), std () -> (n, mels, frames) on x's device.
    """
    mels, frames = x.shape[-2:]
    if draw.start.any() or (draw.pace != 1).any():
        x = resample_frames(x, draw.start, draw.pace)
    if draw.curve.any():
        x = x + draw.curve.to(x.device, x.dtype).unsqueeze(-1) / std
    if draw.time_start.shape[1] or draw.freq_start.shape[1]:
        time = mask_positions(draw.time_start, draw.time_width, frames, x.device).unsqueeze(1)
        freq = mask_positions(draw.freq_start, draw.freq_width, mels, x.device).unsqueeze(2)
        x = x.masked_fill(time | freq, 0)
    return x


def resample_frames(x: Tensor, start: Tensor, pace: Tensor) -> Tensor:
    """Let output frame t show input frame ``start + pace * t``, circularly, interpolated linearly.

    Pace 1 with a whole start is a circular shift. Pace below 1 is a crop stretched to full length (as the crops of
    Szegedy et al. 2015, but in time only).

    Shape:
        x (n, mels, frames), start and pace (n,) -> (n, mels, frames).
    """
    frames = x.shape[-1]
    t = torch.arange(frames, dtype=torch.float64)
    position = (start.unsqueeze(-1) + pace.unsqueeze(-1) * t).remainder(frames)
    below = position.floor()
    weight = position - below
    index = (below.long() % frames).to(x.device).unsqueeze(1)
    current = x.gather(-1, index.expand(x.shape))
    if not weight.any():
        return current
    following = x.gather(-1, ((index + 1) % frames).expand(x.shape))
    return torch.lerp(current, following, weight.to(x.device, x.dtype).unsqueeze(1))
