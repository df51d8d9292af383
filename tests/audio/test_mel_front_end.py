"""The front ends of encoders from elsewhere, beside librosa."""

import librosa
import numpy as np
import pytest
from pydantic import ValidationError

from fewshot_audio.audio.mel_front_end import MelFrontEnd, MelSettings

SAMPLES = np.random.default_rng(0).normal(size=8123).astype(np.float32)
YAMNET = MelSettings(
    n_fft=512,
    window_length=400,
    hop_length=160,
    n_mels=64,
    low=125.0,
    high=7500.0,
    scale="htk",
    equal_area=False,
    power=1,
    centered=False,
    logarithm="natural",
    offset=1e-6,
)


def by_librosa(settings: MelSettings, rate: int) -> np.ndarray:
    spectrum = librosa.stft(
        SAMPLES.astype(np.float64),
        n_fft=settings.n_fft,
        win_length=settings.window_length,
        hop_length=settings.hop_length,
        center=settings.centered,
        pad_mode="constant",
    )
    filters = librosa.filters.mel(
        sr=rate,
        n_fft=settings.n_fft,
        n_mels=settings.n_mels,
        fmin=settings.low,
        fmax=settings.high,
        htk=settings.scale == "htk",
        norm="slaney" if settings.equal_area else None,
    )
    mel = filters @ np.abs(spectrum) ** settings.power
    if settings.logarithm == "natural":
        mel = np.log(mel + settings.offset)
    elif settings.logarithm == "decibels":
        mel = 10 * np.log10(mel + settings.offset)
    return mel.T


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"centered": True},
        {"power": 2, "logarithm": "decibels"},
        {"scale": "slaney", "equal_area": True},
        {"logarithm": "none", "window_length": 512},
        {"n_mels": 40, "low": 0.0, "high": 8000.0, "hop_length": 77},
    ],
)
def test_spectrograms_are_those_of_librosa(changes: dict[str, object]) -> None:
    settings = MelSettings.model_validate(YAMNET.model_dump() | changes)
    ours, theirs = MelFrontEnd(settings, 16_000)(SAMPLES), by_librosa(settings, 16_000)
    assert ours.shape == theirs.shape
    assert ours == pytest.approx(theirs, rel=2e-4, abs=2e-4)


def test_a_sound_shorter_than_a_frame_has_one() -> None:
    assert MelFrontEnd(YAMNET, 16_000)(SAMPLES[:3]).shape == (1, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_length": 513}, "expected at most n_fft, 512"),
        ({"low": 7500.0}, "expected below high"),
        ({"offset": 0.0}, "logarithm of silence"),
        ({"n_fft": 1 << 16, "n_mels": 1024}, "filters of more than"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MelSettings.model_validate(YAMNET.model_dump() | changes)
