"""Pitch shift and time stretch: a phase vocoder with locked phases and resets at onsets.

The segment is read as overlapping frames and written at another pace, another frame length, or both:

- Output frame m stands at ``m * HOP`` and shows the input around ``m * HOP / stretch``.
- To change the pitch, frames ``pitch * FRAME`` samples long are read and their spectra written as frames of FRAME
  samples, cut or filled up with zeros at the top: resampling inside each frame, without aliasing.
- A sinusoid of w cycles per input sample has gone on by ``w * (input step)`` between two frames as read, and must have
  gone on by ``w * pitch * HOP`` as written: each partial is turned by the accumulated difference. The pitch is exact
  even though a frame's length is a whole number.

Frequencies are estimated within one frame, from the ratio of neighbouring magnitudes under a Hann window, which is
exact for a lone sinusoid and needs no unwrapping. Every bin follows the peak up the slope of which it lies (identity
phase locking: Laroche and Dolson, IEEE Trans. Speech and Audio Processing 7(3), 1999), so that a partial stays one
partial. Where most of a frame's power has just risen, turning starts again from zero: the onset keeps its shape
(compare Roebel, DAFx 2003). All steps are parallel over examples, frames and bins.
"""

import bisect
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from fewshot_audio.augment.waveform.lengths import is_fast
from fewshot_audio.augment.waveform.rotation import PARTS, rotations
from fewshot_audio.augment.waveform.windows import take_windows

FRAME = 960  # 60 ms at 16 kHz: partials 50 Hz apart are told apart, and onsets stay short
HOP = FRAME // 3  # the largest step at which squared Hann windows add up to a constant
FAST = [n for n in range(2, 8 * FRAME, 2) if is_fast(n)]
WRITTEN = [n for n in FAST if FRAME <= n <= 1000]
CLIMB_DOUBLINGS = 3  # a bin looks for its peak up to 2 ** 3 bins away
RISE = 3.0  # the power of a bin beyond this many times that of the frame before is new ...
NEW_SHARE = 0.3  # ... and a frame is an onset where more than this share of its power is new


def pitch_shift(x: Tensor, semitones: Tensor) -> Tensor:
    """Transpose each example by its own number of semitones. Shape: x (n, samples), semitones (n,) -> (n, samples)."""
    pitch = 2 ** (semitones.double().cpu() / 12)
    return _vocode(x, pitch, torch.ones_like(pitch))


def time_stretch(x: Tensor, ratio: Tensor) -> Tensor:
    """Make each example ``ratio`` times as long (above 1: longer, slower), then cut or fill with silence to length.

    Shape: x (n, samples), ratio (n,) -> (n, samples).
    """
    stretch = ratio.double().cpu()
    return _vocode(x, torch.ones_like(stretch), stretch)


def _vocode(x: Tensor, pitch: Tensor, stretch: Tensor) -> Tensor:
    """Change pitch and length; ``pitch`` and ``stretch`` (n,) are float64 on the CPU, since they decide sizes."""
    samples = x.shape[1]
    sizes = [_sizes(value) for value in pitch.tolist()]
    read = torch.tensor([size for size, _ in sizes]).unsqueeze(1)
    # One frame before the first sample and all that reach the last one: windows add up to a constant everywhere.
    frames = torch.arange(-1, (samples + FRAME // 2 - 2) // HOP + 1)
    centers = (frames * HOP / stretch.unsqueeze(1)).round().long()
    centers = torch.minimum(torch.maximum(centers, -read), samples + read)  # further outside is as silent
    # What the output phase gains over the input phase between two frames: in input samples, per transform length.
    ahead = (HOP * pitch.unsqueeze(1) - centers.diff(dim=1)) / read
    spectra = _read(x, centers, sizes)
    spectra *= _turns(spectra, F.pad(ahead, (1, 0)).to(device=x.device, dtype=x.dtype))
    return _write(spectra, sizes)[:, :samples]


def _sizes(pitch: float) -> tuple[int, int]:
    """Transform lengths (read, written) whose ratio is the pitch as nearly as fast transforms allow (mean 0.07 %)."""
    pairs = []
    for written in WRITTEN if pitch != 1 else WRITTEN[:1]:
        place = bisect.bisect(FAST, written * pitch)
        pairs += [(read, written) for read in FAST[place - 1 : place + 1]]
    return min(pairs, key=lambda pair: abs(pair[0] / pair[1] - pitch))


def _read(x: Tensor, centers: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Spectra of the frames around ``centers``. Shape: x (n, samples), centers (n, frames) -> (n, frames, bins)."""
    margin = 2 * max(read for read, _ in sizes)
    padded = F.pad(x, (margin, margin))
    spectra = x.new_zeros((*centers.shape, max(written for _, written in sizes) // 2 + 1), dtype=torch.complex64)
    for rows, (read, written) in _runs(sizes):
        length = FRAME * read / written  # of the window, in input samples: what becomes FRAME output samples
        starts = (centers[rows] + round(margin - length / 2)).to(x.device)
        inside = torch.arange(math.ceil(length), device=x.device) / length
        window = (0.5 - 0.5 * torch.cos(2 * math.pi * inside)) * (written / read)
        part = torch.fft.rfft(take_windows(padded[rows], starts, len(window)).mul_(window), n=read)
        bins = min(read, written) // 2 + 1
        spectra[rows, :, :bins] = part[..., :bins]
    return spectra


def _runs(sizes: list[tuple[int, int]]) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Neighbouring rows of the same sizes, which are transformed together."""
    start = 0
    for pair, run in itertools.groupby(sizes):
        end = start + len(list(run))
        yield slice(start, end), pair
        start = end


def _turns(spectra: Tensor, ahead: Tensor) -> Tensor:
    """Unit rotations that keep each partial continuous. Shape: spectra (n, frames, bins), ahead (n, frames) -> same."""
    n, frames, n_bins = spectra.shape
    power = spectra.real.square().addcmul_(spectra.imag, spectra.imag)
    magnitude = power.sqrt()
    around = F.pad(magnitude, (1, 1))
    below, above = around[..., :-2], around[..., 2:]
    # Under a Hann window |W(d)| = |sinc(d) / (1 - d^2)|, hence (W(1-d) - W(1+d)) / (W(d) + (W(1-d) + W(1+d)) / 2) = d.
    scale = (above + below).mul_(0.5).add_(magnitude).clamp_(min=torch.finfo(power.dtype).tiny)
    offset = (above - below).div_(scale)
    offset[..., 0] = 0  # a constant does not turn
    bins = torch.arange(n_bins, device=spectra.device)
    step = offset.add_(bins).mul_(ahead.unsqueeze(2))

    uphill = above > magnitude
    downhill = (below > magnitude) & ~uphill
    peak = bins + (uphill.view(torch.int8) - downhill.view(torch.int8))
    for _ in range(CLIMB_DOUBLINGS):
        peak = peak.gather(2, peak)

    step = step.gather(2, peak)
    turn = step.sub_(step.round()).cumsum(dim=1)  # in turns; whole ones left out keep the sum small and exact
    onset = _last_onset(power) + torch.arange(n, device=spectra.device).unsqueeze(1) * frames
    turn -= turn.view(n * frames, n_bins).index_select(0, onset.view(-1)).view_as(turn)
    return rotations(turn.gather(2, peak).mul_(PARTS).round_().int())


def _last_onset(power: Tensor) -> Tensor:
    """Index of the frame where turning last began. Shape: (n, frames, bins) -> (n, frames) int64."""
    now, before = power[:, 1:], power[:, :-1]
    new = torch.sub(now, before, alpha=RISE).clamp_(min=0).sum(dim=2)
    onset = F.pad(new > NEW_SHARE * now.sum(dim=2), (1, 0))
    frames = torch.arange(power.shape[1], device=power.device)
    return (frames * onset).cummax(dim=1).values


def _write(spectra: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Overlap and add; sample 0 is the second frame's centre. Shape: (n, frames, bins) -> (n, at least samples)."""
    n, frames, _ = spectra.shape
    window = torch.hann_window(FRAME, device=spectra.device) * (HOP / (FRAME * 0.375))  # 0.375: mean of Hann squared
    steps = FRAME // HOP
    out = torch.zeros((n, frames + steps - 1, HOP), device=spectra.device)
    for rows, (_, written) in _runs(sizes):
        waves = torch.fft.irfft(spectra[rows, :, : written // 2 + 1], n=written)[..., :FRAME] * window
        for step, part in enumerate(waves.unflatten(2, (steps, HOP)).unbind(2)):
            out[rows, step : step + frames] += part
    return out.view(n, -1)[:, HOP + FRAME // 2 :]
