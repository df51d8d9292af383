"""Transforms that move samples in time: shift, inversion, splice-out, masks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fewshot_audio.audio.augment.waveform.windows import take_windows


def shift(x: Tensor, samples: Tensor) -> Tensor:
    """Roll each example by its own number of samples; positive is later, and the end comes in again at the start.

    Shape:
        x (n, samples), samples (n,) int64 -> (n, samples).
    """
    length = x.shape[1]
    starts = (-samples.to(x.device)).remainder(length).unsqueeze(1)
    return take_windows(torch.cat([x, x], dim=1), starts, length).squeeze(1)


def invert(x: Tensor) -> Tensor:
    """Reverse each example (n, samples) in time."""
    return x.flip(1)


def mask(x: Tensor, starts: Tensor, length: int) -> Tensor:
    """Silence ``length`` samples from each start on.

    Shape:
        x (n, samples), starts (n, masks) -> (n, samples).
    """
    out = x.clone()
    span = torch.arange(length, device=x.device)
    for start in starts.to(x.device).unbind(dim=1):
        out.scatter_(1, start.unsqueeze(1) + span, 0.0)
    return out


def splice_out(x: Tensor, starts: Tensor, widths: Tensor) -> Tensor:
    """Shorten each example at several intervals, then fill its end with silence (SpliceOut, arXiv 2110.00046).

    Each interval is replaced by the Hann cross-fade of its two halves, which does not click and is ``width / 2``
    samples shorter.

    Args:
        x: the examples.
        starts: first sample of each interval; those of an example are in order and do not overlap.
        widths: even lengths of the intervals, in samples.

    Shape:
        x (n, samples), starts and widths (n, intervals) int64 -> (n, samples).
    """
    n, samples = x.shape
    starts, halves = starts.to(x.device), widths.to(x.device) // 2
    joints = starts - (halves.cumsum(dim=1) - halves)  # where each cross-fade begins in the output
    longest = int(widths.max()) // 2 if widths.numel() else 0
    padded = F.pad(x, (0, longest + 1))
    skips = torch.zeros(padded.shape, dtype=torch.int64, device=x.device).scatter_add_(1, joints, halves)
    source = skips.cumsum_(dim=1).add_(torch.arange(padded.shape[1], device=x.device))
    out = padded.gather(1, source.clamp_(max=samples))
    # Every output sample now comes from the second half of its interval; fade from the first.
    span = torch.arange(longest, device=x.device)
    fade = 0.5 + 0.5 * torch.cos(span * (torch.pi / halves.clamp(min=1)).unsqueeze(2))
    fade *= span < halves.unsqueeze(2)
    change = fade * (take_windows(padded, starts, longest) - take_windows(padded, starts + halves, longest))
    return out.scatter_add_(1, (joints.unsqueeze(2) + span).view(n, -1), change.view(n, -1))[:, :samples]
