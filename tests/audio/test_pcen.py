"""PCEN against librosa's, in preparation and in torch, and what it is for: noise that stays goes."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.mel import ExactMel, ExactPcen
from fewshot_audio.audio.pcen import EPS, TIME_CONSTANT, smoothing
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError

SIZES = [
    Preprocessing(frontend="pcen", segment_seconds=1.0),
    Preprocessing(frontend="pcen", segment_seconds=0.5, hop_length=100, n_fft=400, n_mels=40, fmin=100.0, fmax=6000.0),
]


def noisy_clicks(samples: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    wave = random.normal(size=samples)
    wave[:: samples // 5] += 30
    wave[samples // 2 : samples // 2 + samples // 10] = 0  # digital silence
    return wave.astype(np.float32)


def librosas(wave: NDArray[np.float32], p: Preprocessing) -> NDArray[np.float64]:
    """PCEN of librosa's own mel spectrogram, whose smoothing starts at the first frame."""
    energies = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=p.sample_rate,
        n_fft=p.n_fft,
        hop_length=p.hop_length,
        n_mels=p.n_mels,
        fmin=p.fmin,
        fmax=p.fmax,
        pad_mode="constant",
        dtype=np.float64,
    )
    span = TIME_CONSTANT * p.sample_rate / p.hop_length
    factor = (np.sqrt(1 + 4 * span**2) - 1) / (2 * span**2)
    options = {"sr": p.sample_rate, "hop_length": p.hop_length, "time_constant": TIME_CONSTANT, "eps": EPS}
    pcen: NDArray[np.float64] = librosa.pcen(energies, zi=(1 - factor) * energies[:, :1], **options)
    return pcen


@pytest.mark.parametrize("preprocessing", SIZES)
def test_it_is_librosas(preprocessing: Preprocessing) -> None:
    p = preprocessing
    wave = noisy_clicks(p.segment_samples)
    expected = librosas(wave, p)
    exact = ExactPcen(p.sample_rate, p.n_fft, p.hop_length, p.n_mels, p.fmin, p.fmax)(wave)
    module = p.front_end(torch.float64)(torch.from_numpy(wave).double()).numpy()
    assert expected.shape == exact.shape == (p.n_mels, p.frames)
    np.testing.assert_allclose(exact, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(module, exact, rtol=1e-9, atol=1e-9)
    assert p.features(wave[None])[0].tobytes() == exact.astype(np.float32).tobytes()
    assert exact.std() > 0.1


def test_the_formula_itself_is_exact() -> None:
    """From the same energies, without the rounding of another spectrogram."""
    p = SIZES[0]
    wave = noisy_clicks(p.segment_samples)
    energies = ExactMel(p.sample_rate, p.n_fft, p.hop_length, p.n_mels)(wave)
    factor = smoothing(p.frames, p.sample_rate / p.hop_length)[1, 1]
    options = {"sr": p.sample_rate, "hop_length": p.hop_length, "time_constant": TIME_CONSTANT, "eps": EPS}
    expected = librosa.pcen(energies, zi=(1 - factor) * energies[:, :1], **options)
    exact = ExactPcen(p.sample_rate, p.n_fft, p.hop_length, p.n_mels)(wave)
    np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=1e-13)


def test_a_batch_is_its_waves_and_float32_is_near() -> None:
    p = SIZES[1]
    waves = torch.from_numpy(np.stack([noisy_clicks(p.segment_samples, seed) for seed in range(3)]))
    exact, module = p.front_end(torch.float64), p.front_end()
    together = module(waves)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[1], module(waves[1]))
    torch.testing.assert_close(together, exact(waves.double()).float(), rtol=1e-3, atol=1e-3)


def test_steady_noise_has_no_say_in_the_level() -> None:
    """A tone that is as loud all the time is divided away; the same in decibels is 20 dB higher."""
    p = SIZES[0]
    quiet, loud = (
        ExactPcen(p.sample_rate, p.n_fft, p.hop_length, p.n_mels)(scale * noisy_clicks(16_000)) for scale in (1, 10)
    )
    assert np.abs(loud - quiet).mean() < 0.05 * np.abs(quiet).mean() + 0.02


def test_the_smoothing_is_an_average() -> None:
    matrix = smoothing(50, 31.25)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert matrix[0].tolist() == [1, *[0] * 49]
    assert not np.triu(matrix, 1).any()


def test_segments_of_too_many_frames_are_refused() -> None:
    with pytest.raises(DataError, match=r"4096.*hop_length"):
        Preprocessing.of(frontend="pcen", segment_seconds=600.0)
