import numpy as np
import pytest
import torch
from audiomentations.augmentations.add_color_noise import generate_decaying_white_noise
from torch import Tensor

from fewshot_audio.audio.augment.waveform.noise import add_noise, colored_noise

RATE = 16_000


def seeds(n: int, first: int = 100) -> Tensor:
    return torch.arange(first, first + n)


def octave_levels(noise: Tensor) -> list[float]:
    """Mean power density in dB in narrow bands around 1, 2 and 4 kHz."""
    power = torch.fft.rfft(noise.double(), dim=-1).abs().square().reshape(-1, noise.shape[-1] // 2 + 1).mean(dim=0)
    hertz = torch.fft.rfftfreq(noise.shape[-1], 1 / RATE)
    return [
        10 * float(power[(hertz > center * 0.95) & (hertz < center * 1.05)].mean().log10())
        for center in (1000, 2000, 4000)
    ]


@pytest.mark.parametrize("samples", [1600, 16_001, 80_000])
@pytest.mark.parametrize("decay", [-2.0, 0.0, 1.3, 2.0])
def test_the_measured_snr_is_the_drawn_one(samples: int, decay: float) -> None:
    x = torch.randn((4, samples), generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.01], [1], [3], [100]])
    snr = torch.tensor([-5.0, 3.0, 10.0, 25.0])
    added = add_noise(x, snr, torch.full((4,), decay), seeds(4), RATE).double() - x
    measured = 10 * (x.double().square().mean(dim=1) / added.square().mean(dim=1)).log10()
    torch.testing.assert_close(measured, snr.double(), atol=0.05, rtol=0)


@pytest.mark.parametrize("decay", [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_spectrum_falls_by_6_decibels_per_octave_and_unit_of_decay(decay: float) -> None:
    levels = octave_levels(colored_noise(torch.full((8,), decay), seeds(8), 32_000, RATE))
    slopes = np.diff(levels)
    assert slopes == pytest.approx([-6.02 * decay] * 2, abs=0.45 * abs(decay) + 0.01)
    u = [1 + (8000**0.5 - 1) * hertz / 8000 for hertz in (1000, 2000, 4000)]  # the axis of the definition
    assert slopes == pytest.approx(-20 * decay * np.diff(np.log10(u)), abs=0.02)


def test_half_a_unit_of_decay_is_the_pink_noise_of_audiomentations() -> None:
    np.random.seed(0)  # noqa: NPY002 - what audiomentations draws from
    pink = np.stack([generate_decaying_white_noise(32_000, -3.01, RATE, n_fft=1024) for _ in range(8)])
    ours = octave_levels(colored_noise(torch.full((8,), 0.5), seeds(8), 32_000, RATE))
    assert np.diff(ours) == pytest.approx(np.diff(octave_levels(torch.from_numpy(pink))), abs=0.6)


def test_noise_is_replayed_by_its_seed_alone() -> None:
    decay = torch.tensor([0.0, 1.0, -1.0])
    first = colored_noise(decay, seeds(3), 5000, RATE)
    assert torch.equal(first, colored_noise(decay, seeds(3), 5000, RATE))
    torch.testing.assert_close(first[1:2], colored_noise(decay[1:2], seeds(3)[1:2], 5000, RATE))


def test_noise_of_different_seeds_is_unrelated_and_normally_distributed() -> None:
    noise = colored_noise(torch.zeros(32), torch.cat([seeds(16), seeds(16, 2**32 - 16)]), 20_000, RATE).double()
    correlation = torch.corrcoef(noise) - torch.eye(32)
    assert correlation.abs().max() < 0.05
    standard = noise / noise.std(dim=1, keepdim=True)
    assert standard.mean(dim=1).abs().max() < 1e-3
    assert standard.pow(4).mean().item() == pytest.approx(3, abs=0.05)


def test_silence_stays_silent() -> None:
    silence = torch.zeros(2, 1600)
    assert torch.equal(add_noise(silence, torch.tensor([10.0, 3.0]), torch.zeros(2), seeds(2), RATE), silence)
