"""ResNet8: leveling against the definition, silence that does not count, any length."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.resnet8 import AUDIBLE, LOWEST, ResNet8, normalize_level

MELS, FRAMES = 32, 96


def sounds(n: int = 2, frames: int = FRAMES, seed: int = 0) -> Tensor:
    return torch.randn(n, MELS, frames, generator=torch.Generator().manual_seed(seed))


def encoder(**options: object) -> ResNet8:
    """One whose batch norms have seen sounds."""
    torch.manual_seed(0)
    network = ResNet8(MELS, FRAMES, widths=[8, 8, 12, 16], out_dim=24, **options)
    for seed in range(20):
        network(sounds(8, seed=seed))
    return network.eval().requires_grad_(requires_grad=False)


def plain_level(bels: np.ndarray) -> float:
    """Mean power of frames, weighted by itself, as a loop over frames."""
    powers = [float(np.mean([10.0**value for value in frame])) for frame in bels.T]
    return math.log10(sum(power * power for power in powers) / sum(powers))


def test_the_level_is_the_power_weighted_mean_of_the_frames_power() -> None:
    x = 2 * sounds(1) - 3
    level = plain_level(x[0].double().numpy())
    leveled, audible = normalize_level(x)
    expected = (torch.clamp(x - level, min=-LOWEST) + LOWEST / 2) / 2
    torch.testing.assert_close(leveled, expected, atol=1e-5, rtol=1e-5)
    power = torch.log10((10 ** x[0].double()).mean(0)) - level
    assert torch.equal(audible[0], power > -AUDIBLE)


@given(gain=st.floats(-20, 20), seed=st.integers(0, 50))
def test_gain_changes_nothing(gain: float, seed: int) -> None:
    x = sounds(seed=seed)
    for before, after in zip(normalize_level(x), normalize_level(x + gain), strict=True):
        torch.testing.assert_close(before, after, atol=2e-5, rtol=1e-5)


def test_frames_of_silence_are_not_audible_and_quiet_ones_are() -> None:
    x = torch.zeros(1, MELS, 4)
    x[:, :, 1], x[:, :, 2], x[:, :, 3] = -AUDIBLE + 0.2, -AUDIBLE - 0.2, -15.6
    assert normalize_level(x)[1].tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("value", [0.0, -15.65])
def test_a_segment_of_one_value_has_a_finite_embedding(value: float) -> None:
    assert encoder()(torch.full((1, MELS, FRAMES), value)).isfinite().all()


def test_pooling_ignores_silence_after_a_sound() -> None:
    network = encoder()
    hit = sounds(1, frames=32)
    rows = [network.pooled(F.pad(hit, (0, silence), value=-15.0)) for silence in (32, 64, 300)]
    torch.testing.assert_close(rows[0], rows[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rows[0], rows[2], atol=1e-4, rtol=1e-4)
    other = network.pooled(F.pad(sounds(1, frames=32, seed=1), (0, 32), value=-15.0))
    assert (rows[0] - other).abs().max() > 0.1


def test_weights_are_those_of_steps_with_an_audible_frame() -> None:
    """Against the definition: statistics over the steps of the map that an audible frame lies in."""
    network = encoder()
    x = F.pad(sounds(1, frames=40), (0, 56), value=-15.0)
    leveled, _ = normalize_level(x)
    steps = network.blocks(network.stem(leveled.unsqueeze(1)))[0].flatten(0, 1)[:, :3]  # frames 0 to 47
    variance = steps.var(dim=1, correction=0)
    expected = network.norm(torch.cat([steps.mean(1), (variance + 1e-4).sqrt()])[None])
    torch.testing.assert_close(network.pooled(x), expected, atol=1e-4, rtol=1e-4)


def test_other_lengths_are_pooled_but_not_embedded() -> None:
    network = encoder()
    assert network.pooled(sounds(frames=50)).shape == (2, 2 * 16 * 2)
    with pytest.raises(ValueError, match=r"ResNet8 got \(2, 32, 50\), expected spectrograms \(n, 32, 96\)"):
        network(sounds(frames=50))


def test_segments_that_are_too_small_are_refused() -> None:
    with pytest.raises(ConfigError, match="ResNet8: its poolings leave 1 x 0 of 16 mel bins x 15 frames"):
        ResNet8(16, 15)
