import pytest
import torch
from julius.filters import bandpass_filter
from julius.lowpass import lowpass_filter
from torch import Tensor

from fewshot_audio.audio.augment.waveform.filters import band_stop, high_pass, low_pass

RATE = 16_000
CUTOFFS = [130.0, 433.0, 1191.0, 2025.5, 7000.0]


def noise(rows: int, samples: int) -> Tensor:
    return torch.randn((rows, samples), generator=torch.Generator().manual_seed(1))


def response_db(impulse_response: Tensor) -> Tensor:
    """Gain in dB at 0, 1, 2 ... Hz of filtered unit impulses (n, RATE)."""
    gain: Tensor = torch.fft.rfft(impulse_response.double()).abs().clamp(min=1e-12)
    return 20 * gain.log10()


def impulses(rows: int) -> Tensor:
    x = torch.zeros(rows, RATE)
    x[:, RATE // 2] = 1
    return x


@pytest.mark.parametrize("samples", [1600, 9001])
def test_each_row_equals_julius_at_its_own_cutoff(samples: int) -> None:
    x = noise(len(CUTOFFS), samples)
    lows = low_pass(x, torch.tensor(CUTOFFS), RATE)
    highs = high_pass(x, torch.tensor(CUTOFFS), RATE)
    for row, cutoff in enumerate(CUTOFFS):
        expected = lowpass_filter(x[row], cutoff / RATE)
        torch.testing.assert_close(lows[row], expected, atol=2e-5, rtol=0)
        torch.testing.assert_close(highs[row], x[row] - expected, atol=2e-5, rtol=0)


def test_band_stop_equals_the_signal_minus_julius_band_pass() -> None:
    centers, widths = [400.0, 1111.0, 2900.0], [1.0, 0.5, 0.77]
    x = noise(3, 5000)
    stopped = band_stop(x, torch.tensor(centers), torch.tensor(widths), RATE)
    for row, (center, width) in enumerate(zip(centers, widths, strict=True)):
        band = bandpass_filter(x[row], center * (1 - width / 2) / RATE, center * (1 + width / 2) / RATE)
        torch.testing.assert_close(stopped[row], x[row] - band, atol=2e-5, rtol=0)


@pytest.mark.parametrize("cutoff", [400, 1191, 2000, 3000])
def test_a_cutoff_is_the_6_db_point_and_the_3_db_point_lies_5_percent_inside(cutoff: int) -> None:
    low, high = (response_db(f(impulses(1), torch.tensor([float(cutoff)]), RATE))[0] for f in (low_pass, high_pass))
    for gain, inside in ((low, -1), (high, +1)):
        assert gain[cutoff] == pytest.approx(-6.02, abs=0.1)
        assert gain[round(cutoff * (1 + 0.05 * inside))] == pytest.approx(-3, abs=0.4)
        assert gain[round(cutoff * (1 - 0.25 * inside))] < -40
        assert gain[round(cutoff * (1 + 0.25 * inside))] == pytest.approx(0, abs=0.1)


def test_band_stop_removes_its_band_only() -> None:
    gain = response_db(band_stop(impulses(1), torch.tensor([2000.0]), torch.tensor([1.0]), RATE))[0]
    assert gain[[1000, 3000]].tolist() == pytest.approx([-6.02, -6.02], abs=0.1)
    assert gain[1400:2600].max() < -40
    assert gain[[500, 3500, 7000]].tolist() == pytest.approx([0, 0, 0], abs=0.1)


def test_constants_pass_the_low_pass_and_not_the_high_pass() -> None:
    x = torch.full((1, 3000), 2.5)
    cutoff = torch.tensor([800.0])
    torch.testing.assert_close(low_pass(x, cutoff, RATE), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(high_pass(x, cutoff, RATE), torch.zeros_like(x), atol=1e-5, rtol=0)


def test_a_row_does_not_depend_on_the_cutoffs_beside_it() -> None:
    x = noise(3, 4000)
    cutoffs = torch.tensor([60.0, 900.0, 5000.0])
    together = low_pass(x, cutoffs, RATE)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], low_pass(x[row : row + 1], cutoffs[row : row + 1], RATE))
