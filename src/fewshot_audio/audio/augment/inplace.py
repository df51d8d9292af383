"""Random changes of training inputs themselves: mixing, time, filter curves, masks; drawn apart from being applied."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import covered

Change: TypeAlias = Callable[[Tensor], Tensor]


class InputParams(Protocol):
    """What a draw needs to know; see ``config.InputAugmentation``."""

    @property
    def active(self) -> bool:
        """Whether anything is on."""

    @property
    def mix(self) -> float:
        """Largest share of the power that the background takes."""

    @property
    def time_scale(self) -> list[float]:
        """Range of the share of the frames that fills a segment."""

    @property
    def shift(self) -> float:
        """Largest circular shift, share of the frames."""

    @property
    def gain_db(self) -> float:
        """Largest gain, dB."""

    @property
    def filter_db(self) -> float:
        """Largest height of the filter curve, dB."""

    @property
    def filter_points(self) -> int:
        """Points of the filter curve."""

    @property
    def time_masks(self) -> int:
        """Time masks per segment."""

    @property
    def time_mask_width(self) -> list[int]:
        """Range of their widths, frames."""

    @property
    def frequency_masks(self) -> int:
        """Frequency masks per segment."""

    @property
    def frequency_mask_width(self) -> list[int]:
        """Range of their widths, mel bins."""


@dataclass(frozen=True)
class InputDraw:
    """Parameters of n segments, on the CPU; float64 and int64.

    ``partner`` (n,) segment mixed in at ``share`` (n,) of the power; output frame t reads input frame
    ``start + pace * t`` (n,), circularly; ``curve`` (n, mels) dB; masks (n, masks).
    """

    partner: Tensor
    share: Tensor
    start: Tensor
    pace: Tensor
    curve: Tensor
    time_start: Tensor
    time_width: Tensor
    freq_start: Tensor
    freq_width: Tensor


def unchanged(x: Tensor) -> Tensor:
    """Leave the segments as they are."""
    return x


def draw_change(
    params: InputParams, segments: tuple[int, ...], size: tuple[int, int], std: Tensor, generator: torch.Generator
) -> Change:
    """Draw how to change half an episode of ``segments`` (way, items); ``std`` is how many dB make 1.

    What is returned maps (way * items, mels, frames), normalized, to the same shape; ``size`` is (mels, frames).
    """
    if not params.active:
        return unchanged
    return partial(change_inputs, draw=draw_inputs(params, segments, size, generator), std=std)


def draw_inputs(
    params: InputParams, segments: tuple[int, ...], size: tuple[int, int], generator: torch.Generator
) -> InputDraw:
    """Draw the parameters of ``segments`` (way, items) of ``size`` (mels, frames), which masks must not exceed."""
    way, items = segments
    mels, frames = size
    n = way * items

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    def upto(limit: Tensor) -> Tensor:  # uniform in 0..limit, limit included, per element
        return (uniform(0, 1, *limit.shape) * (limit + 1)).long()

    def masks(count: int, widths: list[int], size: int) -> tuple[Tensor, Tensor]:
        width = torch.randint(widths[0], widths[1] + 1, (n, count), generator=generator)
        return upto(size - width), width

    own = torch.arange(way).repeat_interleave(items)
    other = (own + torch.randint(1, way, (n,), generator=generator)) % way
    partner = other * items + torch.randint(items, (n,), generator=generator)
    share = uniform(0, params.mix, n)
    slowest, fastest = params.time_scale
    pace = uniform(slowest, fastest, n)
    start = uniform(0, 1, n) * (1 - pace).clamp(min=0) * (frames - 1)  # a crop lies inside
    furthest = int(params.shift * frames)
    shift = torch.randint(-furthest, furthest + 1, (n,), generator=generator)
    gain = uniform(-params.gain_db, params.gain_db, n, 1)
    heights = uniform(-params.filter_db, params.filter_db, n, params.filter_points)
    inner = uniform(0, mels - 1, n, params.filter_points - 2).sort(-1).values
    time_start, time_width = masks(params.time_masks, params.time_mask_width, frames)
    freq_start, freq_width = masks(params.frequency_masks, params.frequency_mask_width, mels)
    return InputDraw(
        partner=partner,
        share=share,
        start=start + shift,
        pace=pace,
        curve=gain + filter_curve(inner, heights, mels),
        time_start=time_start,
        time_width=time_width,
        freq_start=freq_start,
        freq_width=freq_width,
    )


def filter_curve(inner: Tensor, heights: Tensor, mels: int) -> Tensor:
    """Straight lines between points over the mel bins: FilterAugment, linear type (Nam et al. 2022).

    The first point is the first bin, the last the last, ``inner`` are the others, in order.

    Shape: inner (n, points - 2) in [0, mels - 1], heights (n, points) -> (n, mels).
    """
    n, points = heights.shape
    ends = inner.new_tensor([0, mels - 1]).expand(n, 2)
    places = torch.cat([ends[:, :1], inner, ends[:, 1:]], dim=1)
    bins = torch.arange(mels, dtype=places.dtype).expand(n, mels).contiguous()
    right = torch.searchsorted(places, bins).clamp(1, points - 1)
    before, after = places.gather(1, right - 1), places.gather(1, right)
    weight = (bins - before) / (after - before).clamp(min=1e-9)
    return torch.lerp(heights.gather(1, right - 1), heights.gather(1, right), weight)


def change_inputs(x: Tensor, draw: InputDraw, std: Tensor) -> Tensor:
    """Mix, move in time, filter, then mask with 0, the dataset's mean. What was drawn to do nothing is left out.

    Shape: x (n, mels, frames), ``std`` () dB -> (n, mels, frames) on x's device; x itself is not changed.
    """
    mels, frames = x.shape[-2:]
    if draw.share.any():
        x = mix(x, draw.partner, draw.share, std)
    if draw.start.any() or (draw.pace != 1).any():
        x = read_frames(x, draw.start, draw.pace)
    if draw.curve.any():
        x = x + draw.curve.to(x.device, x.dtype).unsqueeze(-1) / std
    if draw.time_start.shape[1] or draw.freq_start.shape[1]:
        time = covered(draw.time_start, draw.time_width, frames, x.device).unsqueeze(1)
        freq = covered(draw.freq_start, draw.freq_width, mels, x.device).unsqueeze(2)
        x = x.masked_fill(time | freq, 0)
    return x


def mix(x: Tensor, partner: Tensor, share: Tensor, std: Tensor) -> Tensor:
    """Add another segment as background, power to power (Niizumi et al. 2021, BYOL-A), the label staying as it is.

    Shape: x (n, mels, frames), partner and share (n,) -> (n, mels, frames).
    """
    nats = std * (math.log(10) / 10)  # a unit of x, in natural logarithms of power; the mean cancels
    weight = share.to(x.device, x.dtype).view(-1, 1, 1)
    background = x[partner.to(x.device)] * nats + weight.log()
    return torch.logaddexp(x * nats + torch.log1p(-weight), background) / nats


def read_frames(x: Tensor, start: Tensor, pace: Tensor) -> Tensor:
    """Have output frame t show input frame ``start + pace * t``, circularly, interpolated linearly.

    Pace 1 with a whole start is a circular shift; below 1 it is a crop stretched to full length (in the manner of
    Szegedy et al. 2015, in time alone).

    Shape: x (n, mels, frames), start and pace (n,) -> (n, mels, frames).
    """
    frames = x.shape[-1]
    t = torch.arange(frames, dtype=torch.float64)
    where = (start.unsqueeze(-1) + pace.unsqueeze(-1) * t).remainder(frames)
    below = where.floor()
    weight = where - below
    index = (below.long() % frames).to(x.device).unsqueeze(1)
    read = x.gather(-1, index.expand(x.shape))
    if not weight.any():
        return read
    following = x.gather(-1, ((index + 1) % frames).expand(x.shape))
    return torch.lerp(read, following, weight.to(x.device, x.dtype).unsqueeze(1))
