"""SpecAugment draws and views against naive loops and by their properties."""

from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw, draw_specaugment, specaugment_views
from fewshot_audio.config.augmentation import SpecAugParams
from tests.numerics import generator, global_generator_untouched, normal
from tests.oracles import spectrogram as oracle

NAMES = ("warp_source", "warp_shift", "time_start", "time_width", "freq_start", "freq_width")


def params(
    mask_param: int = 7, W: int = 5, num_mask: int = 2, mask_value: float = 0.0, p: float = 0.3
) -> SpecAugParams:
    return SpecAugParams(use=True, mask_param=mask_param, W=W, num_mask=num_mask, mask_value=mask_value, p=p)


def make_draw(
    warp: list[tuple[int, int]] | None = None,
    time: list[list[tuple[int, int]]] | None = None,
    freq: list[list[tuple[int, int]]] | None = None,
    n: int = 1,
) -> SpecAugmentDraw:
    """A draw written out by hand: per example (source, shift), and (start, width) of each mask."""
    warp = warp or [(2, 0)] * n
    time = time or [[(0, 0)]] * n
    freq = freq or [[(0, 0)]] * n
    return SpecAugmentDraw(
        warp_source=torch.tensor([source for source, _ in warp]),
        warp_shift=torch.tensor([shift for _, shift in warp]),
        time_start=torch.tensor([[start for start, _ in spans] for spans in time]),
        time_width=torch.tensor([[width for _, width in spans] for spans in time]),
        freq_start=torch.tensor([[start for start, _ in spans] for spans in freq]),
        freq_width=torch.tensor([[width for _, width in spans] for spans in freq]),
    )


def part(draw: SpecAugmentDraw, i: int) -> SpecAugmentDraw:
    return SpecAugmentDraw(**{name: getattr(draw, name)[i : i + 1] for name in NAMES})


def spans(starts: Tensor, widths: Tensor) -> list[tuple[int, int]]:
    return list(zip(starts.tolist(), widths.tolist(), strict=True))


def expected_views(x: Tensor, draw: SpecAugmentDraw, mask_value: float) -> Tensor:
    examples = []
    for i in range(len(x)):
        rows = x[i].double().tolist()
        examples.append(
            [
                rows,
                oracle.time_warp(rows, int(draw.warp_source[i]), int(draw.warp_shift[i])),
                oracle.time_mask(rows, spans(draw.time_start[i], draw.time_width[i]), mask_value),
                oracle.frequency_mask(rows, spans(draw.freq_start[i], draw.freq_width[i]), mask_value),
            ]
        )
    return torch.tensor(examples, dtype=torch.float64)


# Views of a given draw


def test_time_warp_by_hand() -> None:
    row = [0.0, 10.0, 20.0, 30.0, 40.0]
    later, earlier = [0.0, 20 / 3, 40 / 3, 20.0, 40.0], [0.0, 20.0, 80 / 3, 100 / 3, 40.0]
    assert oracle.time_warp([row], 2, 1)[0] == pytest.approx(later)
    assert oracle.time_warp([row], 2, -1)[0] == pytest.approx(earlier)
    views = specaugment_views(torch.tensor([[row], [row]]), make_draw(warp=[(2, 1), (2, -1)], n=2), 0.0)
    torch.testing.assert_close(views[:, 1, 0], torch.tensor([later, earlier]))


def test_masks_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]])
    views = specaugment_views(x, make_draw(time=[[(0, 1), (2, 1)]], freq=[[(1, 2), (2, 1)]]), -1.0)
    time_masked = [[-1.0, 2.0, -1.0, 4.0], [-1.0, 6.0, -1.0, 8.0], [-1.0, 10.0, -1.0, 12.0]]
    freq_masked = [[1.0, 2.0, 3.0, 4.0], [-1.0] * 4, [-1.0] * 4]
    assert oracle.time_mask(x[0].tolist(), [(0, 1), (2, 1)], -1.0) == time_masked
    assert oracle.frequency_mask(x[0].tolist(), [(1, 2), (2, 1)], -1.0) == freq_masked
    assert views.tolist() == [[x[0].tolist(), x[0].tolist(), time_masked, freq_masked]]


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 3),
    mels=st.integers(1, 9),
    frames=st.integers(5, 30),
    reach=st.integers(0, 14),
    num_mask=st.integers(1, 3),
    mask_param=st.integers(1, 12),
    p=st.sampled_from([0.2, 0.5, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_views_of_any_draw(
    n: int, mels: int, frames: int, reach: int, num_mask: int, mask_param: int, p: float, seed: int
) -> None:
    parameters = params(mask_param=mask_param, W=min(reach, (frames - 1) // 2), num_mask=num_mask, p=p)
    x = normal(n, mels, frames, seed=seed, dtype=torch.float32)
    before = x.clone()
    draw = draw_specaugment(n, mels, frames, parameters, generator(seed))
    views = specaugment_views(x, draw, -3.5)
    expected = expected_views(x, draw, -3.5)
    assert views.shape == (n, 4, mels, frames)
    assert views.dtype == x.dtype
    assert torch.equal(x, before)
    assert torch.equal(views[:, 0], x)
    assert torch.equal(views[:, 2:].double(), expected[:, 2:])
    torch.testing.assert_close(views[:, 1].double(), expected[:, 1], rtol=0, atol=1e-4)
    assert torch.equal(views[:, 1, :, [0, -1]], x[:, :, [0, -1]])


def test_every_warp_of_a_short_spectrogram() -> None:
    """All sources and shifts, those that would push the point onto or past an end included."""
    frames = 9
    warps = [(w, d) for reach in range(1, 5) for w in range(reach, frames - reach) for d in range(-reach, reach + 1)]
    x = normal(len(warps), 2, frames, seed=0, dtype=torch.float32)
    draw = make_draw(warp=warps, n=len(warps))
    warped = specaugment_views(x, draw, 0.0)[:, 1]
    torch.testing.assert_close(warped.double(), expected_views(x, draw, 0.0)[:, 1], rtol=0, atol=1e-5)
    assert torch.equal(warped[:, :, [0, -1]], x[:, :, [0, -1]])
    for i, (w, d) in enumerate(warps):
        if d == 0:
            assert torch.equal(warped[i], x[i])
        elif 1 <= w + d <= frames - 2:
            torch.testing.assert_close(warped[i, :, w + d], x[i, :, w])


@settings(deadline=None, max_examples=25)
@given(frames=st.integers(3, 200), data=st.data())
def test_a_warp_never_turns_time_back(frames: int, data: st.DataObject) -> None:
    reach = data.draw(st.integers(1, (frames - 1) // 2))
    source = data.draw(st.integers(reach, frames - reach - 1))
    shift = data.draw(st.integers(-reach, reach))
    ramp = torch.arange(frames, dtype=torch.float32).reshape(1, 1, frames)
    warped = specaugment_views(ramp, make_draw(warp=[(source, shift)]), 0.0)[0, 1, 0]
    assert (warped.diff() > -1e-4).all()
    assert warped.min() == 0
    assert warped.max() == frames - 1


def test_examples_do_not_leak_into_each_other() -> None:
    x = normal(5, 6, 20, seed=0, dtype=torch.float32)
    draw = draw_specaugment(5, 6, 20, params(), generator(1))
    views = specaugment_views(x, draw, 0.0)
    for i in range(5):
        assert torch.equal(specaugment_views(x[i : i + 1], part(draw, i), 0.0)[0], views[i])
    changed = x.clone()
    changed[2] = float("nan")
    others = [0, 1, 3, 4]
    assert torch.equal(specaugment_views(changed, draw, 0.0)[others], views[others])


def test_masks_replace_non_finite_cells_too() -> None:
    x = torch.full((1, 4, 10), float("nan"))
    views = specaugment_views(x, make_draw(time=[[(3, 2)]], freq=[[(1, 1)]]), 2.0)
    assert (views[0, 2, :, 3:5] == 2).all()
    assert (views[0, 3, 1] == 2).all()


def test_views_do_not_share_memory_with_the_input() -> None:
    x = normal(2, 4, 12, seed=0, dtype=torch.float32)
    before = x.clone()
    views = specaugment_views(x, draw_specaugment(2, 4, 12, params(W=2), generator(0)), 0.0)
    views.zero_()
    assert torch.equal(x, before)


# Draws


def test_draws_have_the_promised_form() -> None:
    draw = draw_specaugment(6, 20, 40, params(num_mask=3), generator(0))
    for name in NAMES:
        value = getattr(draw, name)
        assert value.dtype == torch.int64
        assert value.device.type == "cpu"
        assert value.shape == ((6,) if name.startswith("warp") else (6, 3))


def test_a_generator_decides_the_draw_alone() -> None:
    with global_generator_untouched():
        first = draw_specaugment(50, 20, 40, params(), generator(3))
        second = draw_specaugment(50, 20, 40, params(), generator(3))
        third = draw_specaugment(50, 20, 40, params(), generator(4))
    for name in NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert not torch.equal(getattr(first, name), getattr(third, name))


def test_draws_differ_between_examples_and_masks() -> None:
    draw = draw_specaugment(200, 40, 60, params(num_mask=2, p=1.0), generator(0))
    for name in NAMES:
        assert len(getattr(draw, name).unique()) > 5
    for name in NAMES[2:]:
        assert not torch.equal(getattr(draw, name)[:, 0], getattr(draw, name)[:, 1])
    assert not torch.equal(draw.time_width, draw.freq_width)
    assert not torch.equal(draw.time_start, draw.freq_start)


@settings(deadline=None, max_examples=40)
@given(
    mels=st.integers(1, 130),
    frames=st.integers(3, 160),
    mask_param=st.integers(1, 200),
    p=st.floats(0, 1),
    data=st.data(),
)
def test_draws_stay_in_their_ranges(mels: int, frames: int, mask_param: int, p: float, data: st.DataObject) -> None:
    reach = data.draw(st.integers(0, (frames - 1) // 2))
    draw = draw_specaugment(30, mels, frames, params(mask_param=mask_param, W=reach, p=p), generator(0))
    assert (draw.warp_source >= reach).all()
    assert (draw.warp_source < frames - reach).all()
    assert (draw.warp_shift.abs() <= reach).all()
    for start, width, size, widest in (
        (draw.time_start, draw.time_width, frames, int(p * frames)),
        (draw.freq_start, draw.freq_width, mels, mels),
    ):
        widest = min(widest, mask_param)
        assert (width >= min(1, widest)).all()
        assert (width <= widest).all()
        assert (start >= 0).all()
        assert (start + width <= size).all()


def assert_uniform(values: Tensor, low: int, high: int) -> None:
    """Every whole number of [low, high] occurs, as often as the others within 5 standard deviations."""
    counts = torch.bincount(values.flatten() - low, minlength=high - low + 1).double()
    assert len(counts) == high - low + 1
    share = 1 / len(counts)
    total = values.numel()
    deviation = (total * share * (1 - share)) ** 0.5
    assert ((counts - total * share).abs() <= 5 * deviation).all()


def test_draws_are_uniform_up_to_their_extremes() -> None:
    mels, frames, reach = 9, 20, 3
    draw = draw_specaugment(6000, mels, frames, params(mask_param=4, W=reach, p=0.5), generator(0))
    assert_uniform(draw.warp_source, reach, frames - reach - 1)
    assert_uniform(draw.warp_shift, -reach, reach)
    assert_uniform(draw.time_width, 1, 4)
    assert_uniform(draw.freq_width, 1, 4)
    for width in range(1, 5):
        assert_uniform(draw.time_start[draw.time_width == width], 0, frames - width)
        assert_uniform(draw.freq_start[draw.freq_width == width], 0, mels - width)


def test_capped_masks_are_as_often_narrow_as_wide() -> None:
    """On a clip of a second, p leaves fewer frames than the largest width: the cap is no more likely than the rest."""
    draw = draw_specaugment(6000, 4, 20, params(mask_param=15, p=0.3), generator(0))
    assert_uniform(draw.time_width, 1, 6)
    assert_uniform(draw.freq_width, 1, 4)
    for width in range(1, 7):
        assert_uniform(draw.time_start[draw.time_width == width], 0, 20 - width)


def test_a_cap_that_is_not_reached_changes_no_bit() -> None:
    """Neither p nor the number of mel bins enters a draw as long as both allow ``mask_param``."""
    first = draw_specaugment(50, 7, 94, params(mask_param=7, p=7 / 94 + 1e-9), generator(3))
    second = draw_specaugment(50, 7, 94, params(mask_param=7, p=1.0), generator(3))
    for name in NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name))
    widths = torch.randint(1, 8, first.time_width.shape, generator=generator(3))
    assert torch.equal(first.time_width, widths)


def test_no_time_mask_where_p_leaves_no_frame() -> None:
    x = normal(4, 8, 20, seed=0, dtype=torch.float32)
    draw = draw_specaugment(4, 8, 20, params(p=0.01), generator(0))
    assert torch.equal(specaugment_views(x, draw, 9.0)[:, 2], x)


def test_no_warp_where_w_is_zero() -> None:
    x = normal(4, 8, 20, seed=0, dtype=torch.float32)
    draw = draw_specaugment(4, 8, 20, params(W=0), generator(0))
    assert torch.equal(specaugment_views(x, draw, 9.0)[:, 1], x)


def test_the_draw_has_no_other_fields() -> None:
    names = getattr(SpecAugmentDraw, "_fields", None) or tuple(field.name for field in fields(SpecAugmentDraw))
    assert set(names) == set(NAMES)
