"""Apply the eleven transforms to segments, in a fixed order, then those from outside, with the parameters of a draw."""

from collections.abc import Callable

import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform import filters, noise, timing, vocoder
from fewshot_audio.audio.augment.waveform.parameters import WaveformDraw

MAX_AMPLITUDE = 1e6
"""Samples are clamped to this (z-normalized audio stays below 1000), so that no power overflows float32."""

CHUNK_SAMPLES = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Samples that are processed at once: on a CPU what fits in its cache, on a GPU what fits in memory next to a model."""

Transform = Callable[[Tensor, WaveformDraw, Tensor], Tensor]
"""(selected examples (m, samples), draw, their rows in the draw (m,)) -> (m, samples)."""


def _gain(x: Tensor, db: Tensor) -> Tensor:
    return x * (10 ** (db.to(x) / 20)).unsqueeze(1)


CHAIN: dict[str, Transform] = {
    "lowpass": lambda x, d, r: filters.low_pass(x, d.lowpass_hz[r], d.sample_rate),
    "pitch": lambda x, d, r: vocoder.pitch_shift(x, d.pitch_semitones[r]),
    "shift": lambda x, d, r: timing.shift(x, d.shift_samples[r]),
    "inversion": lambda x, d, r: timing.invert(x),  # noqa: ARG005 - one signature for all
    "gain": lambda x, d, r: _gain(x, d.gain_db[r]),
    "noise": lambda x, d, r: noise.add_noise(x, d.noise_snr_db[r], d.noise_f_decay[r], d.noise_seed[r], d.sample_rate),
    "highpass": lambda x, d, r: filters.high_pass(x, d.highpass_hz[r], d.sample_rate),
    "bandstop": lambda x, d, r: filters.band_stop(x, d.bandstop_hz[r], d.bandstop_bandwidth[r], d.sample_rate),
    "spliceout": lambda x, d, r: timing.splice_out(x, d.spliceout_start[r], d.spliceout_width[r]),
    "stretch": lambda x, d, r: vocoder.time_stretch(x, d.stretch_ratio[r]),
    "mask": lambda x, d, r: timing.mask(x, d.mask_start[r], d.mask_length),
}
"""The transforms in their order of application, by the names of their ``*_on`` flags."""


def waveform_views(waveforms: Tensor, draw: WaveformDraw) -> Tensor:
    """Return each segment followed by its augmented copies, each transformed as its row of the draw says.

    Samples that are not finite count as 0 in the copies. With no flag on, the copy of a finite segment equals it.

    Args:
        waveforms: the segments; not changed.
        draw: parameters of n * copies examples; rows ``i * copies`` to ``(i + 1) * copies - 1`` belong to segment i.

    Shape:
        (n, samples) -> (n, copies + 1, samples) float32.

    Raises:
        ValueError: the draw is for another shape.
    """
    n, samples = waveforms.shape
    copies = len(draw) // max(n, 1)
    if samples != draw.n_samples or len(draw) != n * copies:
        raise ValueError(
            f"a draw of {len(draw)} rows of {draw.n_samples} samples does not fit waveforms {tuple(waveforms.shape)}"
        )
    views = torch.empty((n, copies + 1, samples), dtype=torch.float32, device=waveforms.device)
    views[:, 0] = waveforms
    step = max(CHUNK_SAMPLES.get(waveforms.device.type, CHUNK_SAMPLES["cpu"]) // draw.n_samples, 1)
    for start in range(0, len(draw), step):
        rows = slice(start, start + step)
        row = torch.arange(len(draw), device=waveforms.device)[rows]
        segment = row // copies
        views[segment, 1 + row % copies] = _transform(waveforms.index_select(0, segment), draw[rows])
    return views


def _transform(x: Tensor, draw: WaveformDraw) -> Tensor:
    x = torch.nan_to_num(x.float(), nan=0.0, posinf=0.0, neginf=0.0).clamp_(-MAX_AMPLITUDE, MAX_AMPLITUDE)
    for name, transform in CHAIN.items():
        rows = getattr(draw, f"{name}_on").nonzero().squeeze(1)
        if len(rows) == len(x):
            x = transform(x, draw, rows)
        elif len(rows):
            index = rows.to(x.device)
            x.index_copy_(0, index, transform(x.index_select(0, index), draw, rows))
    for extra in draw.extra:
        x = extra.apply(x, draw.sample_rate)
    return x
