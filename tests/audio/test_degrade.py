"""Degradations against their definitions in numpy."""

import numpy as np
import pytest
import torch

from fewshot_audio.audio.degrade import DEGRADATIONS, Degradation, degrade, mix, with_level_of

RATE, SAMPLES = 16_000, 16_000
TIME = np.arange(SAMPLES) / RATE


def tones(*frequencies: float) -> torch.Tensor:
    """One waveform per frequency."""
    return torch.tensor(np.stack([np.sin(2 * np.pi * f * TIME + 0.3) for f in frequencies]))


def power_at(x: torch.Tensor, frequency: float) -> float:
    """Power of a tone in the middle half of a waveform."""
    middle = slice(SAMPLES // 4, 3 * SAMPLES // 4)
    wave = np.exp(-2j * np.pi * frequency * TIME[middle])
    return float(np.abs(np.mean(x.numpy()[middle] * wave)) ** 2)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_shape_level_and_content(name: Degradation) -> None:
    x = 3 * torch.randn(2, SAMPLES, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    y = degrade(x, name, RATE)
    assert y.shape == x.shape
    torch.testing.assert_close(y.mean(-1), x.mean(-1))
    torch.testing.assert_close(y.std(-1), x.std(-1))
    assert (y - x).abs().mean() > 1e-3
    assert torch.equal(degrade(x, name, RATE), y)
    torch.testing.assert_close(degrade(x[1:], name, RATE), y[1:])  # each waveform by itself


def test_silence_stays_silence() -> None:
    for name in DEGRADATIONS:
        assert torch.equal(degrade(torch.zeros(1, SAMPLES), name, RATE), torch.zeros(1, SAMPLES))


def test_a_band_and_a_codec_keep_speech_and_lose_the_rest() -> None:
    x = tones(100, 1000, 6000).sum(0, keepdim=True)
    band, codec = (degrade(x, name, RATE)[0] for name in ("band", "codec"))
    for y, lost, kept in ((band, (100, 6000), (1000,)), (codec, (6000,), (100, 1000))):
        assert all(power_at(y, f) < 1e-4 * power_at(x[0], f) for f in lost)
        assert all(power_at(y, f) > power_at(x[0], f) for f in kept)  # the whole has its level again


def test_the_codecs_noise_is_that_of_eight_bits() -> None:
    """The mu-law has about 38 dB of signal over quantization noise."""
    x = tones(440)
    y = degrade(x, "codec", RATE)
    inside = slice(SAMPLES // 4, 3 * SAMPLES // 4)
    error = (y - x)[0, inside]
    ratio = 10 * np.log10((x[0, inside].square().mean() / error.square().mean()).item())
    assert 30 < ratio < 45


def test_a_room_adds_as_much_as_it_is_given_and_dies_away() -> None:
    x = torch.zeros(1, SAMPLES, dtype=torch.float64)
    x[0, 1000] = 1
    y = degrade(x, "room", RATE)[0]
    y = (y - y[:1000].mean()) / (y[1000] - y[:1000].mean())  # the direct sound
    tail = y[1001:].square()
    assert tail.sum().item() == pytest.approx(1, rel=0.02)
    tenth = int(0.1 * RATE)
    levels = [10 * np.log10(tail[at * tenth : (at + 1) * tenth].mean().item()) for at in range(5)]
    assert np.diff(levels) == pytest.approx([-10] * 4, abs=1.5)  # 60 dB in 0.6 s
    assert tail[7 * tenth :].max() < 1e-12


def test_gain_is_quantization_at_a_hundredth_of_full_scale() -> None:
    x = tones(440)
    y = degrade(x, "gain", RATE)
    expected = np.round(x.numpy() / np.abs(x.numpy()).max() * 327.68)
    torch.testing.assert_close(y, with_level_of(torch.tensor(expected), x))
    assert len(np.unique(np.round(y.numpy(), 9))) <= 656


def test_clipping_limits_a_tenth_of_the_samples() -> None:
    x = torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = degrade(x, "clip", RATE)[0]
    assert ((y == y.max()) | (y == y.min())).double().mean().item() == pytest.approx(0.1, abs=0.001)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_a_background_is_at_its_ratio(snr: float) -> None:
    x, noise = tones(440), 7 * tones(3000)
    y = mix(x, noise, snr)[0]
    assert 10 * np.log10(power_at(y, 440) / power_at(y, 3000)) == pytest.approx(snr, abs=1e-6)
    assert y.std().item() == pytest.approx(x.std().item())


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of codec"):
        degrade(torch.zeros(1, 10), "fog", RATE)  # type: ignore[arg-type]
