import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewshot_audio.audio.augment.waveform import WaveformDraw, draw_waveform_views, waveform_views
from fewshot_audio.audio.augment.waveform.chain import CHAIN
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.augmentation import WaveAugParams
from fewshot_audio.errors import ConfigError

ESC50 = WaveStats(centroid=1191.0, bandwidth=1669.0, flatness=0.144)
PROBABILITIES = {
    "lowpass": "lowpass_p",
    "pitch": "pitchshift_p",
    "shift": "shift_p",
    "inversion": "timeinversion_p",
    "gain": "gain_p",
    "noise": "noise_p",
    "highpass": "highpass_p",
    "bandstop": "bandstop_p",
    "spliceout": "spliceout_p",
    "stretch": "timestretch_p",
    "mask": "timemasking_p",
}


def params(p: float | None = None, **changes: float) -> WaveAugParams:
    """The documented example, with every probability ``p`` if it is given."""
    example = WaveAugParams(
        use=True,
        aug_num=3,
        min_gain_in_db=-6,
        max_gain_in_db=6,
        gain_p=0.5,
        min_snr_in_db=10,
        max_snr_in_db=25,
        noise_min_f_decay=-2,
        noise_max_f_decay=2,
        noise_p=0.5,
        bandstop_min_bandwidth_fraction=0.5,
        bandstop_max_bandwidth_fraction=1,
        bandstop_p=0.5,
        highpass_p=0.3,
        lowpass_p=0.5,
        pitchshift_min_transpose_semitones=-4,
        pitchshift_max_transpose_semitones=4,
        pitchshift_p=0.5,
        shift_min_shift=-0.5,
        shift_max_shift=0.5,
        shift_p=0.5,
        spliceout_num_time_intervals=8,
        spliceout_max_width=400,
        spliceout_p=0.5,
        timeinversion_p=0,
        min_stretch_ratio=0.9,
        max_stretch_ratio=1.1,
        timestretch_p=0,
        timemasking_masks=5,
        timemasking_mask_fraction=0.01,
        timemasking_p=0.5,
    )
    probabilities = {} if p is None else dict.fromkeys(PROBABILITIES.values(), p)
    return example.model_copy(update={**probabilities, **changes})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(rows: int, samples: int) -> Tensor:
    return torch.randn((rows, samples), generator=generator(99))


def make_draw(rows: int, samples: int, p: float | None = None, seed: int = 0) -> WaveformDraw:
    return draw_waveform_views(params(p), ESC50, rows, samples, generator(seed))


def apply(x: Tensor, draw: WaveformDraw) -> Tensor:
    """The one copy of each example that a draw of as many rows gives."""
    return waveform_views(x, draw)[:, 1]


def only(name: str, rows: int, samples: int) -> WaveformDraw:
    parameters = params(0.0, **{PROBABILITIES[name]: 1.0})
    return draw_waveform_views(parameters, ESC50, rows, samples, generator())


def test_the_chain_has_its_order() -> None:
    assert list(CHAIN) == list(PROBABILITIES)


def test_without_probabilities_copies_are_the_original_bit_for_bit() -> None:
    x = noise(5, 3000)
    assert torch.equal(apply(x, make_draw(5, 3000, 0.0)), x)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_transform_changes_the_flagged_examples_only(name: str) -> None:
    x = noise(6, 4000)
    flags = torch.tensor([True, False, False, True, False, True])
    draw = replace(only(name, 6, 4000), **{f"{name}_on": flags})
    changed = apply(x, draw)
    assert [not torch.equal(after, before) for after, before in zip(changed, x, strict=True)] == flags.tolist()


def test_the_chain_is_its_transforms_one_after_the_other() -> None:
    x = noise(4, 3000)
    draw = make_draw(4, 3000, 1.0)
    expected = x
    for transform in CHAIN.values():
        expected = transform(expected, draw, torch.arange(4))
    torch.testing.assert_close(apply(x, draw), expected)


def test_gain_is_in_decibels() -> None:
    x = noise(8, 2000)
    draw = only("gain", 8, 2000)
    measured = 20 * (apply(x, draw).std(dim=1) / x.std(dim=1)).log10()
    torch.testing.assert_close(measured, draw.gain_db, atol=1e-3, rtol=0)
    assert draw.gain_db.abs().max() <= 6


def test_the_same_generator_state_gives_the_same_views() -> None:
    x = noise(4, 5000)
    first, again, other = (waveform_views(x, make_draw(12, 5000, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parts_of_a_draw_give_parts_of_the_result() -> None:
    x = noise(6, 4000)
    draw = make_draw(6, 4000, 0.7)
    whole = apply(x, draw)
    torch.testing.assert_close(apply(x[2:5], draw[2:5]), whole[2:5], atol=1e-4, rtol=0)
    rows = torch.tensor([4, 0])
    torch.testing.assert_close(apply(x[rows], draw[rows]), whole[rows], atol=1e-4, rtol=0)


def test_a_saved_draw_replays() -> None:
    draw = make_draw(3, 2000, 0.8)
    file = io.BytesIO()
    torch.save(vars(draw), file)
    file.seek(0)
    loaded = WaveformDraw(**torch.load(file, weights_only=True))
    assert torch.equal(apply(noise(3, 2000), loaded), apply(noise(3, 2000), draw))


@given(n=st.integers(1, 64), copies=st.integers(1, 3), seed=st.integers(0, 1000), data=st.data())
@settings(deadline=None, max_examples=15)
def test_views_never_leak_between_examples_nor_change_the_original(
    n: int, copies: int, seed: int, data: st.DataObject
) -> None:
    longest = 160_000 if n * copies <= 6 else 16_000 if n * copies <= 24 else 4000
    samples = data.draw(st.integers(1600, longest))
    x = noise(n, samples)
    untouched = x.clone()
    draw = make_draw(n * copies, samples, 0.5, seed=seed)
    views = waveform_views(x, draw)
    assert views.shape == (n, copies + 1, samples)
    assert views.dtype == torch.float32
    assert views.isfinite().all()
    assert torch.equal(x, untouched)
    assert torch.equal(views[:, 0], untouched)
    one = data.draw(st.integers(0, n - 1))
    x[one] = x[one].flip(0) * 3  # another example changes: only its own views may
    others = torch.arange(n) != one
    assert torch.equal(waveform_views(x, draw)[others], views[others])
    alone = waveform_views(untouched[one : one + 1], draw[one * copies : (one + 1) * copies])
    torch.testing.assert_close(alone[0], views[one], atol=1e-3, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 17, 1601])
def test_very_short_segments_keep_their_length(samples: int) -> None:
    views = waveform_views(noise(2, samples), make_draw(6, samples, 1.0))
    assert views.shape == (2, 4, samples)
    assert views.isfinite().all()


def test_odd_input_gives_finite_copies() -> None:
    x = noise(8, 3000)
    x[0] = 0
    x[1] = 1
    x[2, 100] = float("nan")
    x[3, 200:900] = float("inf")
    x[4, 300] = -float("inf")
    x[5] = torch.finfo(torch.float32).max
    x[6] = float("nan")
    x[7] = torch.finfo(torch.float32).tiny
    views = waveform_views(x, make_draw(24, 3000, 1.0))
    assert views[:, 1:].isfinite().all()
    assert torch.equal(views[:, 0].nan_to_num(7), x.nan_to_num(7))


def test_double_precision_becomes_float32() -> None:
    assert waveform_views(noise(1, 2000).double(), make_draw(2, 2000, 0.5)).dtype == torch.float32


def test_no_segments_give_no_views() -> None:
    assert waveform_views(torch.zeros(0, 2000), make_draw(0, 2000)).shape[0] == 0


def test_a_draw_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"6 rows of 2000 samples does not fit waveforms \(4, 2000\)"):
        waveform_views(noise(4, 2000), make_draw(6, 2000))
    with pytest.raises(ValueError, match="does not fit"):
        apply(noise(6, 1999), make_draw(6, 2000))


def test_ranges_adapt_to_the_datasets_statistics() -> None:
    draw = make_draw(4000, 80_000)
    low, center, high = 1191 - 834.5, 1191.0, 1191 + 834.5
    for values, bounds in (
        (draw.lowpass_hz, (center, high)),
        (draw.highpass_hz, (low, center)),
        (draw.bandstop_hz, (low, center)),
        (draw.noise_snr_db, (10, 25)),
    ):
        assert bounds[0] <= values.min() < values.max() <= bounds[1]
        assert values.min() < bounds[0] + 0.1 * (bounds[1] - bounds[0])
        assert values.max() > bounds[1] - 0.1 * (bounds[1] - bounds[0])
    # s = 25 * (1 - 0.144) = 21.4; bounds ~ U(10, s), U(s, 25): mean of their middle.
    assert draw.noise_snr_db.mean().item() == pytest.approx(((10 + 21.4) / 2 + (21.4 + 25) / 2) / 2, abs=0.2)


def test_statistics_out_of_range_are_kept_to_valid_values() -> None:
    wild = WaveStats(centroid=500.0, bandwidth=40_000.0, flatness=0.9)
    draw = draw_waveform_views(params(1.0), wild, 200, 2000, generator())
    assert draw.highpass_hz.min() >= 20
    assert draw.lowpass_hz.max() <= 8000
    assert draw.noise_snr_db.min() >= 10  # the knee, 2.5 dB, lies under the lower bound
    assert apply(noise(200, 2000), draw).isfinite().all()


def test_adaptive_transforms_need_statistics() -> None:
    with pytest.raises(ConfigError, match=r"lowpass_p, noise_p above 0 .*wave_stats\.json"):
        draw_waveform_views(params(highpass_p=0, bandstop_p=0), None, 4, 2000, generator())
    without = params(lowpass_p=0, noise_p=0, highpass_p=0, bandstop_p=0)
    assert apply(noise(4, 2000), draw_waveform_views(without, None, 4, 2000, generator())).isfinite().all()


def test_drawn_values_lie_in_the_configs_ranges() -> None:
    n, samples = 3000, 48_000
    draw = make_draw(n, samples)
    for name, key in PROBABILITIES.items():
        assert getattr(draw, f"{name}_on").float().mean().item() == pytest.approx(getattr(params(), key), abs=0.05)
    for values, low, high in (
        (draw.pitch_semitones, -4, 4),
        (draw.shift_samples, -24_000, 24_000),
        (draw.noise_f_decay, -2, 2),
        (draw.bandstop_bandwidth, 0.5, 1),
        (draw.stretch_ratio, 0.9, 1.1),
        (draw.mask_start, 0, samples - 480),
        (draw.spliceout_width, 0, 48_000 // 8),  # 400 ms would be 6400 samples; eight of them do not fit
        (draw.noise_seed, 0, 2**32 - 1),
    ):
        assert low <= values.min() <= low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) <= values.max() <= high
    assert draw.mask_length == 480
    assert draw.mask_start.shape == (n, 5)
    ends = draw.spliceout_start + draw.spliceout_width
    assert (draw.spliceout_width % 2 == 0).all()
    assert (draw.spliceout_start[:, 1:] >= ends[:, :-1]).all()
    assert ends.max() <= samples


def test_splice_widths_are_milliseconds() -> None:
    assert make_draw(500, 80_000).spliceout_width.max().item() == pytest.approx(6400, rel=0.02)


def test_any_object_with_the_documents_keys_can_be_drawn_from() -> None:
    same = draw_waveform_views(SimpleNamespace(**params().model_dump()), ESC50, 3, 2000, generator())  # type: ignore[arg-type]
    assert vars(same).keys() == vars(make_draw(3, 2000)).keys()
    assert torch.equal(same.gain_db, make_draw(3, 2000).gain_db)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_views_of_the_cpu() -> None:
    x = noise(8, 16_000)
    draw = make_draw(24, 16_000, 0.7)
    on_gpu = waveform_views(x.cuda(), draw)
    torch.testing.assert_close(on_gpu.cpu(), waveform_views(x, draw), atol=2e-2, rtol=0)
    tensors = {name: value.cuda() for name, value in vars(draw).items() if isinstance(value, Tensor)}
    assert torch.equal(waveform_views(x.cuda(), replace(draw, **tensors)), on_gpu)
