"""Resampling of tensors against sines that are known at both rates, and against julius."""

import math

import julius
import pytest
import torch
from torch.testing import assert_close

from fewshot_audio.audio.resample import resample
from fewshot_audio.errors import ConfigError

RATES = [(16_000, 48_000), (16_000, 44_100), (48_000, 16_000), (44_100, 16_000), (3, 2)]


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_sine_stays_the_same_sine(old: int, new: int) -> None:
    frequency = 0.3 * min(old, new)
    before, after = (
        torch.sin(2 * math.pi * frequency * torch.arange(3 * old if old > 100 else 900, dtype=torch.float64) / old),
        torch.sin(2 * math.pi * frequency * torch.arange(3 * new if old > 100 else 600, dtype=torch.float64) / new),
    )
    resampled = resample(before, old, new)
    assert resampled.shape == after.shape
    assert_close(resampled[100:-100], after[100:-100], atol=2e-3, rtol=0)


@pytest.mark.parametrize(("old", "new"), RATES)
def test_equals_julius(old: int, new: int) -> None:
    noise = torch.randn(2, 3, 1001, generator=torch.Generator().manual_seed(0))
    expected = julius.resample_frac(noise, old, new)
    resampled = resample(noise, old, new)
    assert resampled.shape == expected.shape
    assert_close(resampled, expected, atol=1e-4, rtol=0)


def test_what_is_above_the_new_nyquist_frequency_is_gone() -> None:
    tone = torch.sin(2 * math.pi * 12_000 * torch.arange(48_000, dtype=torch.float64) / 48_000)
    assert resample(tone, 48_000, 16_000)[200:-200].abs().max() < 1e-3


def test_equal_rates_change_nothing() -> None:
    noise = torch.randn(4, 50)
    assert resample(noise, 16_000, 16_000) is noise


def test_rates_without_a_common_divisor_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot resample from 16001 to 48000 Hz"):
        resample(torch.zeros(1, 100), 16_001, 48_000)
