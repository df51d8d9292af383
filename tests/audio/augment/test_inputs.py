"""Changes of training inputs against loops in float64, and what holds for all of them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from fewshot_audio.audio.augment.inputs import (
    change_inputs,
    draw_change,
    draw_inputs,
    filter_curve,
    identity,
    resample_frames,
)
from fewshot_audio.config import InputAugmentation

N, MELS, FRAMES = 12, 12, 20
STD = torch.tensor(9.0)
EVERYTHING = InputAugmentation(
    time_scale=[0.6, 1.5],
    shift=0.5,
    gain_db=3.0,
    filter_db=6.0,
    time_masks=2,
    time_mask_width=[2, 5],
    frequency_masks=1,
    frequency_mask_width=[1, 3],
)


def segments(n: int = N) -> Tensor:
    return torch.randn(n, MELS, FRAMES, generator=torch.Generator().manual_seed(3))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive(x: Tensor, draw_seed: int) -> Tensor:
    """One segment, one frame, one bin at a time."""
    draw = draw_inputs(EVERYTHING, N, (MELS, FRAMES), generator(draw_seed))
    decibels = x.double() * 9.0 - 40
    changed = torch.zeros_like(decibels)
    for i in range(len(x)):
        for t in range(FRAMES):
            where = (draw.start[i].item() + draw.pace[i].item() * t) % FRAMES
            left = math.floor(where)
            part = where - left
            frame = (1 - part) * decibels[i, :, left % FRAMES] + part * decibels[i, :, (left + 1) % FRAMES]
            changed[i, :, t] = (frame + draw.curve[i] + 40) / 9.0
        for start, width in zip(draw.time_start[i].tolist(), draw.time_width[i].tolist(), strict=True):
            changed[i, :, start : start + width] = 0
        for start, width in zip(draw.freq_start[i].tolist(), draw.freq_width[i].tolist(), strict=True):
            changed[i, start : start + width] = 0
    return changed


@pytest.mark.parametrize("seed", range(3))
def test_everything_together_is_what_loops_make(seed: int) -> None:
    x = segments()
    before = x.clone()
    change = draw_change(EVERYTHING, N, (MELS, FRAMES), STD, generator(seed))
    assert_close(change(x).double(), naive(x, seed), atol=2e-5, rtol=1e-5)
    assert torch.equal(x, before)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    one, two, other = (
        draw_change(EVERYTHING, N, (MELS, FRAMES), STD, generator(seed))(segments()) for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_seed_draws_what_it_drew_in_version_0_1() -> None:
    """The numbers are those of version 0.1, which drew something more before them."""
    draw = draw_inputs(EVERYTHING, N, (MELS, FRAMES), generator())
    assert draw.pace[:3].tolist() == [0.8034181826445514, 1.1024187678422033, 1.128776065652802]
    assert draw.time_start[0].tolist() == [1, 17]


def test_off_draws_nothing() -> None:
    random = generator()
    state = random.get_state()
    assert draw_change(InputAugmentation(), N, (MELS, FRAMES), STD, random) is identity
    assert torch.equal(random.get_state(), state)
    draw = draw_inputs(InputAugmentation(), N, (MELS, FRAMES), random)
    x = segments()
    assert change_inputs(x, draw, STD) is x


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24))
def test_what_is_drawn_stays_in_its_range(seed: int, n: int) -> None:
    draw = draw_inputs(EVERYTHING, n, (MELS, FRAMES), generator(seed))
    assert ((draw.pace >= 0.6) & (draw.pace <= 1.5)).all()
    assert draw.curve.abs().max() <= 9
    for start, width, least, most, size in (
        (draw.time_start, draw.time_width, 2, 5, FRAMES),
        (draw.freq_start, draw.freq_width, 1, 3, MELS),
    ):
        assert ((width >= least) & (width <= most)).all()
        assert ((start >= 0) & (start + width <= size)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1))
def test_a_crop_does_not_wrap_around(seed: int, least: float) -> None:
    params = InputAugmentation(time_scale=[least, 1.0])
    draw = draw_inputs(params, N, (MELS, FRAMES), generator(seed))
    ramp = torch.arange(FRAMES, dtype=torch.float64).expand(N, MELS, FRAMES)
    read = resample_frames(ramp, draw.start, draw.pace)
    assert (read.diff(dim=-1) > 0).all()
    expected = (draw.start.unsqueeze(1) + draw.pace.unsqueeze(1) * torch.arange(FRAMES)).unsqueeze(1)
    assert_close(read, expected.expand(read.shape), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shift", [-7, 0, 3, FRAMES])
def test_pace_one_is_a_circular_shift_to_the_bit(shift: int) -> None:
    x = segments(2)
    shifted = resample_frames(
        x, torch.full((2,), float(shift), dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    )
    assert torch.equal(shifted, x.roll(-shift, -1))


def test_a_filter_curve_goes_straight_through_its_points() -> None:
    curve = filter_curve(torch.tensor([[2.0, 6.0]]), torch.tensor([[0.0, 4.0, -4.0, 1.0]]), 9)
    assert_close(curve, torch.tensor([[0.0, 2.0, 4.0, 2.0, 0.0, -2.0, -4.0, -1.5, 1.0]]))
    two = filter_curve(torch.zeros(1, 0), torch.tensor([[1.0, 5.0]]), 5)
    assert_close(two, torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]))
