"""Timbre statistics: against librosa and scipy, and what they must not depend on."""

import itertools

import librosa
import numpy as np
import pytest
import scipy.fft
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.timbre import CEPSTRA, TIMBRE_WIDTH, segment_timbre, timbre
from fewshot_audio.audio.timbre_module import TimbreStatistics

Sound = NDArray[np.float32]
RATE = 16_000
SCALES = {"long": (2048, 512, 128), "short": (400, 160, 40)}  # window, hop, mel bins


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> Sound:
    """A falling tone in noise, after a soft start."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (0.1 * rate - 0.03 * rate * time) * time) * np.minimum(1, 10 * time)
    return (tone + 0.1 * random.normal(size=len(time))).astype(np.float32)


def by_libraries(samples: Sound, n_fft: int, hop: int, n_mels: int) -> list[NDArray[np.float64]]:
    """The statistics of one scale by librosa's spectrogram, scipy's DCT, and loops over frames."""
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64), sr=RATE, n_fft=n_fft, hop_length=hop, n_mels=n_mels, pad_mode="constant"
    )
    decibels = librosa.power_to_db(mel, ref=np.max, amin=1e-30, top_db=80)
    cepstra = scipy.fft.dct(decibels, axis=0, type=2, norm="ortho")[:CEPSTRA].T
    weights = np.sqrt(mel.sum(axis=0))
    time = np.linspace(-1, 1, len(cepstra))
    rows = []
    for values in cepstra.T:
        weighted = np.average(values, weights=weights)
        rows.append(
            [
                values.mean(),
                np.log(np.std(values) + 0.1),
                weighted,
                np.log(np.sqrt(np.average((values - weighted) ** 2, weights=weights)) + 0.1),
                np.polyfit(time, values, 1)[0],
                np.log(np.std([b - a for a, b in itertools.pairwise(values)]) + 0.1),
            ]
        )
    return list(np.array(rows).T)


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_statistics_are_those_of_other_libraries(seconds: float) -> None:
    samples = sound(seconds)
    expected = [statistic for scale in SCALES.values() for statistic in by_libraries(samples, *scale)]
    assert timbre(samples, RATE) == pytest.approx(np.concatenate(expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("gain", [1e-4, 30.0])
def test_the_level_does_not_matter(gain: float) -> None:
    samples = sound(1.0)
    assert timbre(np.float32(gain) * samples, RATE) == pytest.approx(timbre(samples, RATE), abs=1e-3)


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.3, 6.0])
@pytest.mark.parametrize("rate", [1_000, 8_000, 48_000])
def test_any_length_and_rate_gives_finite_numbers(seconds: float, rate: int) -> None:
    values = timbre(sound(seconds, rate=rate), rate)
    assert values.shape == (TIMBRE_WIDTH,)
    assert np.isfinite(values).all()


def test_silence_has_numbers_too() -> None:
    assert np.isfinite(timbre(np.zeros(RATE, np.float32), RATE)).all()


def test_weighted_statistics_do_not_hear_the_silence_around_a_sound() -> None:
    hit = sound(0.2)
    around = np.concatenate([hit, np.zeros(3 * RATE, np.float32)])
    alone, padded = (timbre(samples, RATE).reshape(2, 6, CEPSTRA) for samples in (hit, around))
    assert np.abs(alone[:, 2] - padded[:, 2]).max() < 0.5 * np.abs(alone[:, 0] - padded[:, 0]).max()


def test_segments_are_heard_as_far_as_they_were_recorded() -> None:
    preprocessing = Preprocessing.of(segment_seconds=1.0)
    samples = preprocessing.normalize(sound(2.3))
    rows = segment_timbre(preprocessing.segments(samples), len(samples), RATE)
    expected = [timbre(samples[start : start + RATE], RATE) for start in (0, RATE, 2 * RATE)]
    assert rows.dtype == np.float32
    assert rows == pytest.approx(np.stack(expected).astype(np.float32))


def test_a_clip_shorter_than_a_segment_is_not_heard_repeated() -> None:
    preprocessing = Preprocessing.of(segment_seconds=1.0)
    samples = preprocessing.normalize(sound(0.3))
    (row,) = segment_timbre(preprocessing.segments(samples), len(samples), RATE)
    assert row == pytest.approx(timbre(samples, RATE).astype(np.float32))
    assert row != pytest.approx(timbre(np.resize(samples, RATE), RATE).astype(np.float32), abs=0.1)


@pytest.mark.parametrize(("seconds", "rate"), [(0.02, RATE), (1.0, RATE), (0.5, 8_000)])
def test_torch_computes_the_same(seconds: float, rate: int) -> None:
    sounds = [sound(seconds, seed, rate) for seed in range(3)]
    rows = TimbreStatistics(rate)(torch.from_numpy(np.stack(sounds)))
    assert rows.numpy() == pytest.approx(np.stack([timbre(samples, rate) for samples in sounds]), rel=1e-6, abs=1e-6)
