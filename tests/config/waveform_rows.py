"""Rows of ``waveaug_params``: what is drawn for waveform views, and the views made of it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform import WaveformDraw, waveform_views
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.models.views import make_views
from tests.config.bench import Bench, Probe
from tests.config.probes import E, M, views
from tests.config.rows import Row, as_, so_that
from tests.transforms import Tripling

STATS = WaveStats(centroid=2000.0, bandwidth=1500.0, flatness=0.2)
SAMPLES, SEGMENTS, DRAWS = 4000, 3, 200
TRANSFORMS = {
    "gain": "gain_p",
    "noise": "noise_p",
    "bandstop": "bandstop_p",
    "highpass": "highpass_p",
    "lowpass": "lowpass_p",
    "pitch": "pitchshift_p",
    "shift": "shift_p",
    "spliceout": "spliceout_p",
    "inversion": "timeinversion_p",
    "stretch": "timestretch_p",
    "mask": "timemasking_p",
}
WAV = {"input_type": "wav"}
SILENT = WAV | {f"waveaug_params.{key}": 0 for key in TRANSFORMS.values()}


def draw(experiment: E, n: int, samples: int = SAMPLES) -> WaveformDraw:
    """The parameters of the views of ``n`` segments, as an experiment draws them."""
    made: WaveformDraw = make_views(experiment, None, STATS).draw(n, (samples,), torch.Generator().manual_seed(0))
    return made


def drawn(values: Callable[[WaveformDraw], Any], samples: int = SAMPLES) -> Probe:
    """Something about the parameters of 200 segments' copies."""
    return lambda bench, experiment, model: values(draw(experiment, DRAWS, samples))


def changed_by(name: str) -> Probe:
    """The share of examples that a transform is drawn for, and of copies that differ from their original."""

    def probe(bench: Bench, experiment: E, model: M) -> Any:
        waveforms = torch.randn(SEGMENTS, SAMPLES, generator=torch.Generator().manual_seed(1))
        made = waveform_views(waveforms, draw(experiment, SEGMENTS))
        assert torch.equal(made[:, 0], waveforms)
        changed = (made[:, 1:] != waveforms.unsqueeze(1)).any(-1).float().mean().item()
        return getattr(draw(experiment, DRAWS), f"{name}_on").float().mean().item(), changed

    return probe


def none_half_all(seen: list[Any], values: tuple[Any, ...]) -> None:
    (none, some, everything) = seen
    assert none == (0, 0)
    assert 0.4 < some[0] < 0.6
    assert everything == (1, 1)


def probability(name: str, key: str) -> Row:
    given = {other: value for other, value in SILENT.items() if other != f"waveaug_params.{key}"}
    return Row(f"waveaug_params.{key}", (0, 0.5, 1), changed_by(name), none_half_all, given)


def bounded(low: str, high: str, lows: tuple[float, float], highs: tuple[float, float], *columns: str) -> list[Row]:
    """The rows of a range's two ends: values stay inside, and reach what the other value of the end excludes."""

    def extremes(actual: WaveformDraw) -> tuple[float, float]:
        values = [getattr(actual, column) for column in columns]
        return min(float(v.min()) for v in values), max(float(v.max()) for v in values)

    def lower_end(seen: list[Any], values: tuple[Any, ...]) -> None:
        assert values[0] <= seen[0][0] < values[1] <= seen[1][0]

    def upper_end(seen: list[Any], values: tuple[Any, ...]) -> None:
        assert seen[0][1] <= values[0] < seen[1][1] <= values[1]

    top, bottom = WAV | {f"waveaug_params.{high}": highs[0]}, WAV | {f"waveaug_params.{low}": lows[1]}
    return [
        Row(f"waveaug_params.{low}", lows, drawn(extremes), lower_end, top),
        Row(f"waveaug_params.{high}", highs, drawn(extremes), upper_end, bottom),
    ]


def threefold(bench: Bench, experiment: E, model: M) -> Any:
    """Which of two segments' copies are three times the original, and which are the original."""
    waveforms = torch.randn(SEGMENTS, SAMPLES, generator=torch.Generator().manual_seed(1))
    copies = waveform_views(waveforms, draw(experiment, SEGMENTS))[:, 1:]
    original = waveforms.unsqueeze(1)
    return torch.equal(copies, original.expand_as(copies)), torch.equal(copies, (3 * original).expand_as(copies))


def shift_share(experiment_draw: WaveformDraw) -> Tensor:
    return experiment_draw.shift_samples / SAMPLES


def mask_zeros(bench: Bench, experiment: E, model: M) -> Any:
    """How many samples of a copy are silent, at most."""
    waveforms = torch.ones(SEGMENTS, SAMPLES)
    made = waveform_views(waveforms, draw(experiment, SEGMENTS))
    return int((made[:, 1:] == 0).sum(-1).max())


MASKS_ONLY = SILENT | {"waveaug_params.timemasking_p": 1}


WAVEFORM_ROWS = [
    Row("waveaug_params.use", (False, True), views, as_((1, 1), (4, 4)), WAV, scenario=2),
    Row("waveaug_params.use", (False, True), views, as_((1, 1), (1, 1)), {"specaug_params.use": False},
        scenario=2),
    Row("waveaug_params.aug_num", (2, 4), views, as_((3, 3), (5, 5)),
        WAV | {"waveaug_params.use": True}, scenario=2),
    *(probability(name, key) for name, key in TRANSFORMS.items()),
    *bounded("min_gain_in_db", "max_gain_in_db", (-6, 1), (3, 6), "gain_db"),
    *bounded("min_snr_in_db", "max_snr_in_db", (5, 15), (20, 30), "noise_snr_db"),
    *bounded("noise_min_f_decay", "noise_max_f_decay", (-2, 0), (1, 2), "noise_f_decay"),
    *bounded("bandstop_min_bandwidth_fraction", "bandstop_max_bandwidth_fraction", (0.5, 0.8), (1, 1.5),
             "bandstop_bandwidth"),
    *bounded("pitchshift_min_transpose_semitones", "pitchshift_max_transpose_semitones", (-4, 0), (2, 4),
             "pitch_semitones"),
    Row("waveaug_params.shift_min_shift", (-0.5, 0.25), drawn(lambda d: shift_share(d).min().item()),
        so_that(lambda left, right: -0.5 <= left < 0.25 <= right), WAV),
    Row("waveaug_params.shift_max_shift", (-0.25, 0.5), drawn(lambda d: shift_share(d).max().item()),
        so_that(lambda left, right: left <= -0.25 < right <= 0.5), WAV),
    *bounded("min_stretch_ratio", "max_stretch_ratio", (0.5, 0.9), (1.1, 1.5), "stretch_ratio"),
    Row("waveaug_params.spliceout_num_time_intervals", (3, 8), drawn(lambda d: d.spliceout_width.shape[1]), as_(3, 8),
        WAV),
    # In milliseconds, of a segment long enough for eight of them.
    Row("waveaug_params.spliceout_max_width", (10, 400), drawn(lambda d: d.spliceout_width.max().item(), 80_000),
        so_that(lambda short, long: 0 < short <= 160 < long <= 6400), WAV),
    Row("waveaug_params.timemasking_masks", (1, 4), mask_zeros,
        so_that(lambda one, four: 0 < one <= 400 < four <= 1600),
        MASKS_ONLY | {"waveaug_params.timemasking_mask_fraction": 0.1}),
    Row("waveaug_params.timemasking_mask_fraction", (0.1, 0.25), mask_zeros, as_(400, 1000),
        MASKS_ONLY | {"waveaug_params.timemasking_masks": 1}),
    Row("waveaug_params.extra", ([], [{"name": Tripling.__name__}]), threefold, as_((True, False), (False, True)),
        SILENT),
]  # fmt: skip
