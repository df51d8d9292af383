"""The log-mel against librosa, the published definition, and its own promises."""

import librosa
import numpy as np
import pytest
import torch

from fewshot_audio.audio.features import LogMel
from fewshot_audio.audio.mel import ExactLogMel, mel_filterbank
from fewshot_audio.audio.preprocessing import Preprocessing


def chirp_with_silence(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(16_000 * seconds)) / 16_000
    wave = np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.1 * rng.standard_normal(len(time))
    wave[len(wave) // 3 : len(wave) // 2] = 0.0
    return wave / wave.std()


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels"), [(16_000, 1024, 128), (16_000, 512, 40), (44_100, 2048, 64), (8000, 256, 1)]
)
def test_filterbank_equals_librosas(rate: int, n_fft: int, n_mels: int) -> None:
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64)
    np.testing.assert_allclose(mel_filterbank(rate, n_fft, n_mels), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("fmin", "fmax"), [(50.0, None), (300.0, 3400.0), (0.0, 7999.0)])
def test_a_band_equals_librosas(fmin: float, fmax: float | None) -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=40, fmin=fmin, fmax=fmax, dtype=np.float64)
    np.testing.assert_allclose(mel_filterbank(16_000, 1024, 40, fmin, fmax), expected, rtol=1e-9, atol=1e-15)
    preprocessing = Preprocessing(segment_seconds=1.0, n_mels=40, fmin=fmin, fmax=fmax)
    wave = chirp_with_silence(1.0).astype(np.float32)
    features = preprocessing.features(wave[None])[0]
    module = preprocessing.front_end(torch.float64)(torch.from_numpy(wave).double()).numpy()
    loud = module > module.max() - 80
    np.testing.assert_allclose(features[loud], module[loud], atol=1e-4)


@pytest.mark.parametrize("seconds", [1.0, 4.0, 5.0])
def test_log_mel_equals_librosas_in_float64(seconds: float) -> None:
    wave = chirp_with_silence(seconds)
    power = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
    expected = 10 * np.log10(power + 2.22e-16)
    features = LogMel(dtype=torch.float64)(torch.from_numpy(wave)).numpy()
    assert features.shape == expected.shape == (128, 1 + len(wave) // 512)
    loud = expected > expected.max() - 80
    assert np.abs(features - expected)[loud].max() < 1e-3
    assert np.median(expected[:, [len(wave) // 512 * 5 // 12]]) < -150  # the silent part reaches the floor
    np.testing.assert_allclose(features, expected, atol=1e-3)


def test_preparation_equals_librosa_within_float32() -> None:
    preprocessing = Preprocessing()
    wave = preprocessing.normalize(chirp_with_silence(5.0).astype(np.float32))
    features = preprocessing.features(preprocessing.segments(wave))
    power = librosa.feature.melspectrogram(y=wave.astype(np.float64), sr=16_000, n_fft=1024, hop_length=512)
    expected = 10 * np.log10(power + 2.22e-16)
    loud = expected > expected.max() - 80
    assert np.abs(features[0] - expected)[loud].max() < 1e-3


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop", "n_mels", "samples"),
    [
        (16_000, 1024, 512, 128, 80_000),
        (16_000, 512, 100, 40, 30_000),  # more frames than are in memory at once
        (8000, 256, 256, 129, 4000),  # filters narrower than a bin, some of them empty
        (16_000, 1023, 300, 13, 5000),
        (16_000, 1024, 512, 1, 1024),
    ],
)
def test_preparation_and_the_network_hear_the_same(rate: int, n_fft: int, hop: int, n_mels: int, samples: int) -> None:
    wave = chirp_with_silence(samples / 16_000)
    exact = ExactLogMel(rate, n_fft, hop, n_mels, 2.22e-16)(wave)
    module = LogMel(rate, n_fft, hop, n_mels, 2.22e-16, torch.float64)(torch.from_numpy(wave)).numpy()
    assert exact.shape == module.shape
    loud = module > module.max() - 80
    np.testing.assert_allclose(exact[loud], module[loud], atol=1e-9)
    np.testing.assert_allclose(exact, module, atol=1e-3)


def test_published_shapes() -> None:
    assert Preprocessing(segment_seconds=5.0).frames == 157
    assert Preprocessing(segment_seconds=4.0).frames == 126
    assert LogMel()(torch.randn(64_000)).shape == (128, 126)


def test_any_leading_dimensions_give_the_same_as_one_by_one() -> None:
    waves = torch.randn(2, 3, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(n_fft=256, hop_length=128, n_mels=20, dtype=torch.float64)
    batched = log_mel(waves)
    assert batched.shape == (2, 3, 20, 32)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(batched[i, j], log_mel(waves[i, j]))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)],
)
def test_precision_follows_the_input_but_is_never_half(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert LogMel()(torch.randn(2, 4000).to(dtype)).dtype == expected


def test_autocast_does_not_touch_it() -> None:
    log_mel, wave = LogMel(), torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = log_mel(wave)
    assert torch.equal(inside, log_mel(wave))


def test_nothing_of_it_is_in_the_state_dict() -> None:
    assert LogMel().state_dict() == {}


def test_float32_stays_close_to_float64() -> None:
    wave = torch.from_numpy(chirp_with_silence(2.0, seed=1))
    exact, single = LogMel(dtype=torch.float64)(wave), LogMel()(wave.float()).double()
    loud = exact > exact.max() - 80
    assert (exact - single)[loud].abs().max() < 0.05
