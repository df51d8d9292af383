"""Pitch shift and time stretch: a phase vocoder with locked phases and resets at onsets.

The segment is read as overlapping frames and written at another pace, another frame length, or both:

- Output frame m is centered at ``m * HOP`` and shows the input around ``m * HOP / stretch``.
- To change the pitch, frames of ``pitch * FRAME`` samples are read and their spectra written as frames of FRAME
  samples, cut off or filled up with zeros at high frequencies: resampling inside each frame, without aliasing.
- Between two frames the phase of a sinusoid of w cycles per sample advances by ``w * (input step)`` as read, and must
  advance by ``w * pitch * HOP`` as written. Each partial is rotated by the accumulated difference, so that its pitch is
  exact although a frame is an even number of samples long (within 0.1 %).

Frequencies are estimated within one frame, from the ratio of neighboring magnitudes under a Hann window: this is exact
for a single sinusoid, and no phase has to be unwrapped. Every bin takes the rotation of the peak on whose slope it lies
(identity phase locking: Laroche and Dolson, IEEE Trans. Speech and Audio Processing 7(3), 1999), so that a partial
stays one partial. If much of a frame's power is new, the rotations start again from zero, so that an onset keeps its
shape (compare Roebel, DAFx 2003). All steps are parallel over examples, frames and bins.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fewshot_audio.audio.augment.waveform.rotation import PARTS, rotations
from fewshot_audio.audio.augment.waveform.windows import take_windows

FRAME = 960  # 60 ms at 16 kHz: partials 50 Hz apart are separated, and onsets stay short
HOP = FRAME * 2 // 5  # frames overlap by 60 %, enough for a Hann window in reading and a sine window in writing
BINS = FRAME // 2 + 1
CLIMB_DOUBLINGS = 3  # a bin looks for its peak up to 2 ** 3 bins away
RISE = 3.0  # the power of a bin beyond this many times that of the frame before is new ...
NEW_SHARE = 0.3  # ... and a frame is an onset if more than this share of its power is new


def pitch_shift(x: Tensor, semitones: Tensor) -> Tensor:
    """Transpose each example by its own number of semitones.

    Shape:
        x (n, samples), semitones (n,) -> (n, samples).
    """
    pitch = 2 ** (semitones.double().cpu() / 12)
    return _vocode(x, pitch, torch.ones_like(pitch))


def time_stretch(x: Tensor, ratio: Tensor) -> Tensor:
    """Make each example ``ratio`` times as long (above 1: slower), then cut it or fill it with silence to its length.

    Shape:
        x (n, samples), ratio (n,) -> (n, samples).
    """
    stretch = ratio.double().cpu()
    return _vocode(x, torch.ones_like(stretch), stretch)


def _vocode(x: Tensor, pitch: Tensor, stretch: Tensor) -> Tensor:
    """Change pitch and length; ``pitch`` and ``stretch`` (n,) are float64 on the CPU, since sizes depend on them."""
    samples = x.shape[1]
    # From one frame before the first sample to the last frame that covers the last one: every sample has full overlap.
    frames = torch.arange(-1, (samples + FRAME // 2 - 2) // HOP + 1)
    sizes = (pitch * FRAME / 2).round().long() * 2
    margin = sizes.unsqueeze(1) // 2  # a frame whose center is this far outside is empty
    centers = (frames * HOP / stretch.unsqueeze(1)).round().long()
    centers = torch.minimum(torch.maximum(centers, -margin), samples + margin)
    # How much further the output phase advances between two frames than the input phase, in samples per frame size.
    ahead = (HOP * pitch.unsqueeze(1) - centers.diff(dim=1)) / sizes.unsqueeze(1)
    spectra = _read(x, centers, sizes)
    spectra *= _rotations(spectra, F.pad(ahead, (1, 0)).to(device=x.device, dtype=x.dtype))
    return _write(spectra)[:, :samples]


def _read(x: Tensor, centers: Tensor, sizes: Tensor) -> Tensor:
    """Return the spectra of frames of each example's own size.

    Shape:
        x (n, samples), centers (n, frames), sizes (n,) -> (n, frames, BINS).
    """
    margin = int(sizes.max())
    padded = F.pad(x, (margin, margin))
    starts = (centers + margin - sizes.unsqueeze(1) // 2).to(x.device)
    if bool((sizes == FRAME).all()):
        return _spectra(padded, starts, FRAME)
    spectra = torch.empty((*centers.shape, BINS), dtype=torch.complex64, device=x.device)
    for row, size in enumerate(sizes.tolist()):
        bins = min(size // 2 + 1, BINS)
        spectra[row, :, :bins] = _spectra(padded[row : row + 1], starts[row : row + 1], size)[0, :, :bins]
        spectra[row, :, bins:] = 0
    return spectra


def _spectra(x: Tensor, starts: Tensor, size: int) -> Tensor:
    """Return the spectra of frames of one size.

    Shape:
        x (n, samples), starts (n, frames) -> (n, frames, size // 2 + 1).
    """
    window = torch.hann_window(size, device=x.device) * (FRAME / size)
    spectra: Tensor = torch.fft.rfft(take_windows(x, starts, size).mul_(window))
    return spectra


def _rotations(spectra: Tensor, ahead: Tensor) -> Tensor:
    """Return the rotations that keep each partial continuous.

    Shape:
        spectra (n, frames, BINS), ahead (n, frames) -> (n, frames, BINS).
    """
    n, frames, _ = spectra.shape
    power = spectra.real.square().addcmul_(spectra.imag, spectra.imag)
    magnitude = power.sqrt()
    around = F.pad(magnitude, (1, 1))
    below, above = around[..., :-2], around[..., 2:]
    # Under a Hann window |W(d)| = |sinc(d) / (1 - d^2)|, hence (W(1-d) - W(1+d)) / (W(d) + (W(1-d) + W(1+d)) / 2) = d.
    scale = (above + below).mul_(0.5).add_(magnitude).clamp_(min=torch.finfo(power.dtype).tiny)
    offset = (above - below).div_(scale)
    offset[..., 0] = 0  # a constant does not rotate
    bins = torch.arange(BINS, device=spectra.device)
    step = offset.add_(bins).mul_(ahead.unsqueeze(2))

    rising = around[..., 1:] > around[..., :-1]
    rising[..., 0] = True  # there is no bin below the lowest
    uphill = rising[..., 1:]
    downhill = ~(rising[..., :-1] | uphill)
    peak = bins + (uphill.view(torch.int8) - downhill.view(torch.int8))
    for _ in range(CLIMB_DOUBLINGS):
        peak = peak.gather(2, peak)

    step = step.gather(2, peak)
    turns = step.sub_(step.round()).cumsum(dim=1)  # without whole turns, so that the sum stays small and exact
    onset = _last_onset(power) + torch.arange(n, device=spectra.device).unsqueeze(1) * frames
    turns -= turns.view(n * frames, BINS).index_select(0, onset.view(-1)).view_as(turns)
    return rotations(turns.gather(2, peak).mul_(PARTS).round_().int())


def _last_onset(power: Tensor) -> Tensor:
    """Return the index of the last onset at or before each frame.

    Shape:
        (n, frames, bins) -> (n, frames) int64.
    """
    now, before = power[:, 1:], power[:, :-1]
    new = torch.sub(now, before, alpha=RISE).clamp_(min=0).sum(dim=2)
    onset = F.pad(new > NEW_SHARE * now.sum(dim=2), (1, 0))
    frames = torch.arange(power.shape[1], device=power.device)
    return (frames * onset).cummax(dim=1).values


def _write(spectra: Tensor) -> Tensor:
    """Overlap and add the frames; sample 0 is the center of the second frame.

    Shape:
        (n, frames, BINS) -> (n, at least samples).
    """
    n, frames, _ = spectra.shape
    hann = torch.hann_window(FRAME, device=spectra.device)
    steps = -(-FRAME // HOP)
    overlap = F.pad(hann * hann.sqrt(), (0, steps * HOP - FRAME)).view(steps, HOP).sum(dim=0)
    parts = torch.split(torch.fft.irfft(spectra, n=FRAME), HOP, dim=2)
    out = torch.zeros((n, frames + steps - 1, HOP), device=spectra.device)
    for step, (part, share) in enumerate(zip(parts, torch.split(hann.sqrt(), HOP), strict=True)):
        out[:, step : step + frames, : len(share)].addcmul_(part, share / overlap[: len(share)])
    return out.view(n, -1)[:, HOP + FRAME // 2 :]
