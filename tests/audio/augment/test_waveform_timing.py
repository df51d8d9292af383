import audiomentations
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.audio.augment.waveform.timing import invert, mask, shift, splice_out

few = settings(deadline=None, max_examples=25)


def ramp(rows: int, samples: int) -> torch.Tensor:
    return torch.arange(1, rows * samples + 1, dtype=torch.float32).view(rows, samples)


def splice_naive(x: np.ndarray, starts: list[int], widths: list[int]) -> np.ndarray:
    """One example: intervals are cross-faded from the last to the first, so that earlier positions stay valid."""
    out = x.astype(np.float64)
    for start, width in reversed(list(zip(starts, widths, strict=True))):
        half = width // 2
        rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(half) / max(half, 1))
        faded = out[start : start + half] * (1 - rise) + out[start + half : start + width] * rise
        out = np.concatenate([out[:start], faded, out[start + width :]])
    return np.concatenate([out, np.zeros(len(x) - len(out))])


@given(st.integers(1, 300), st.lists(st.integers(-400, 400), min_size=1, max_size=5))
@few
def test_shift_rolls_each_example_by_its_own_samples(samples: int, shifts: list[int]) -> None:
    x = ramp(len(shifts), samples)
    shifted = shift(x, torch.tensor(shifts))
    for row, by in enumerate(shifts):
        assert torch.equal(shifted[row], torch.roll(x[row], by))


def test_shift_equals_audiomentations() -> None:
    x = ramp(1, 1000)
    oracle = audiomentations.Shift(0.3, 0.3, shift_unit="fraction", rollover=True, fade_duration=0.0, p=1.0)
    np.testing.assert_array_equal(shift(x, torch.tensor([300])).numpy()[0], oracle(x.numpy()[0], 16_000))


def test_inversion_equals_audiomentations() -> None:
    x = ramp(2, 777)
    np.testing.assert_array_equal(invert(x).numpy()[1], audiomentations.Reverse(p=1.0)(x.numpy()[1], 16_000))


@given(st.integers(1, 200), st.integers(0, 200), st.data())
@few
def test_masks_silence_exactly_their_samples(samples: int, length: int, data: st.DataObject) -> None:
    length = min(length, samples)
    place = st.integers(0, samples - length)
    starts = data.draw(st.lists(st.lists(place, min_size=3, max_size=3), min_size=1, max_size=4))
    x = ramp(len(starts), samples)
    expected = x.clone()
    for row, row_starts in enumerate(starts):
        for start in row_starts:
            expected[row, start : start + length] = 0
    before = x.clone()
    assert torch.equal(mask(x, torch.tensor(starts), length), expected)
    assert torch.equal(x, before)


def test_a_mask_equals_audiomentations() -> None:
    x = ramp(1, 1000)
    oracle = audiomentations.TimeMask(0.1, 0.1, fade_duration=0.0, mask_location="end", p=1.0)
    np.testing.assert_array_equal(mask(x, torch.tensor([[900]]), 100).numpy()[0], oracle(x.numpy()[0], 16_000))


@given(st.integers(1, 300), st.integers(1, 5), st.integers(0, 2**31))
@few
def test_splice_out_equals_cutting_one_interval_after_the_other(samples: int, intervals: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = 2 * rng.integers(0, samples // intervals // 2 + 1, (3, intervals))
    gaps = np.sort(rng.integers(0, samples - widths.sum(1, keepdims=True) + 1, (3, intervals)), axis=1)
    starts = gaps + widths.cumsum(1) - widths
    x = rng.standard_normal((3, samples)).astype(np.float32)
    spliced = splice_out(torch.from_numpy(x), torch.from_numpy(starts), torch.from_numpy(widths)).numpy()
    for row in range(3):
        expected = splice_naive(x[row], starts[row].tolist(), widths[row].tolist())
        np.testing.assert_allclose(spliced[row], expected, atol=1e-5)


def test_splice_out_moves_what_follows_forward_and_ends_in_silence() -> None:
    x = ramp(1, 100)
    spliced = splice_out(x, torch.tensor([[10, 50]]), torch.tensor([[20, 10]]))[0]
    assert torch.equal(spliced[:10], x[0, :10])
    assert torch.equal(spliced[20:40], x[0, 30:50])  # 20 samples became 10
    assert torch.equal(spliced[45:85], x[0, 60:])  # and 10 became 5
    assert torch.equal(spliced[85:], torch.zeros(15))
    assert spliced[10] == pytest.approx(11)  # a fade begins with what was there
    torch.testing.assert_close(
        splice_out(torch.ones(1, 100), torch.tensor([[10, 50]]), torch.tensor([[20, 10]]))[0, :85], torch.ones(85)
    )
