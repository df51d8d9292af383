"""Procedural sounds with labels: timbre, melody and rhythm make the class, everything else is random."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.samples import Samples

Wave = NDArray[np.floating[Any]]

TIMBRES = ("buzz", "hollow", "bell", "wobble", "hiss", "vowel")
MELODIES = ("level", "rising", "falling", "vibrato", "trill", "arch")
RHYTHMS = ("sustained", "struck", "pulsed", "hurried", "paired", "trembling")

_BELL_RATIOS = (1.0, 2.0, 2.76, 3.76, 5.40, 8.93)
_VOWEL_FORMANTS = (700.0, 1220.0, 2600.0)  # Hz, an open "a"


@dataclass(frozen=True)
class Recipe:
    """A class of sounds."""

    timbre: str
    melody: str
    rhythm: str

    @property
    def name(self) -> str:
        """The class name."""
        return f"{self.timbre}-{self.melody}-{self.rhythm}"


RECIPES = tuple(Recipe(*parts) for parts in itertools.product(TIMBRES, MELODIES, RHYTHMS))


def synthesize(recipe: Recipe, rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Make one sound of a class: pitch, tempo, onset, length, color, level and background noise are random.

    Args:
        recipe: the class.
        rng: source of randomness.
        seconds: length of the clip.
        sample_rate: in Hz.

    Shape:
        returns (samples,) float32 within -1..1.
    """
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    onset, length = rng.uniform(0.0, 0.2) * seconds, rng.uniform(0.6, 0.8) * seconds
    progress = np.clip((time - onset) / length, 0.0, 1.0)  # of the sound: 0 before it, 1 after it
    pitch = _melody(recipe.melody, rng, time, progress)
    sound: Wave = _timbre(recipe.timbre, rng, pitch, sample_rate) * _rhythm(recipe.rhythm, rng, time - onset, length)
    sound = _tilt(sound, rng.uniform(-3.0, 3.0), sample_rate)
    noise = _tilt(rng.standard_normal(len(time)), rng.uniform(-6.0, 0.0), sample_rate)
    snr = rng.uniform(0.0, 20.0)  # dB
    mixed = sound / sound.std() + noise / noise.std() * 10.0 ** (-snr / 20.0)
    level = rng.uniform(0.1, 0.9)
    loudest: float = np.abs(mixed).max()
    return np.asarray(mixed * (level / loudest), dtype=np.float32)


def _melody(melody: str, rng: np.random.Generator, time: Wave, progress: Wave) -> Wave:
    """Fundamental frequency in Hz over time."""
    base = 2.0 ** rng.uniform(np.log2(150.0), np.log2(900.0))
    span = rng.uniform(0.5, 1.0)  # octaves
    rate = rng.uniform(4.0, 7.0)  # Hz
    octaves: Wave
    match melody:
        case "level":
            octaves = np.zeros_like(time)
        case "rising":
            octaves = span * progress
        case "falling":
            octaves = -span * progress
        case "vibrato":
            octaves = 0.12 * span * np.sin(2 * np.pi * rate * time)
        case "trill":
            octaves = 0.4 * span * (np.sin(2 * np.pi * rate * time) > 0)
        case "arch":
            octaves = span * np.sin(np.pi * progress)
        case _:
            raise ValueError(melody)
    pitch: Wave = base * np.exp2(octaves)
    return pitch


def _timbre(timbre: str, rng: np.random.Generator, pitch: Wave, sample_rate: int) -> Wave:
    """A steady sound with the given fundamental frequency."""
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate + rng.uniform(0, 2 * np.pi)
    match timbre:
        case "buzz":
            return _partials(phase, pitch, {k: 1 / k for k in range(1, 17)}, sample_rate)
        case "hollow":
            return _partials(phase, pitch, {k: 1 / k for k in range(1, 12, 2)}, sample_rate)
        case "bell":
            return _partials(phase, pitch, {r: 0.75**i for i, r in enumerate(_BELL_RATIOS)}, sample_rate)
        case "wobble":
            return np.sin(phase + rng.uniform(2.0, 4.0) * np.sin(0.25 * phase))
        case "hiss":  # a narrow band of noise around twice the fundamental, by amplitude modulation
            smooth = np.exp(-0.5 * np.linspace(-3, 3, max(3, sample_rate // 120)) ** 2)
            band = np.convolve(rng.standard_normal(len(pitch)), smooth / smooth.sum(), "same")
            return band * np.sin(2 * phase)
        case "vowel":
            shift = rng.uniform(0.85, 1.2)  # the size of the throat
            weights = dict.fromkeys(range(1, 25), 0.02)
            for formant in _VOWEL_FORMANTS:
                for k in weights:
                    weights[k] += float(np.exp(-0.5 * ((k * pitch.mean() - shift * formant) / 120.0) ** 2))
            return _partials(phase, pitch, weights, sample_rate)
        case _:
            raise ValueError(timbre)


def _partials(phase: Wave, pitch: Wave, weights: dict[float, float] | dict[int, float], sample_rate: int) -> Wave:
    """Sum partials, given by their ratio to the fundamental, without those above the Nyquist frequency."""
    total = np.zeros_like(phase)
    for ratio, weight in weights.items():
        if weight > 1e-3:
            total += weight * np.sin(ratio * phase) * (ratio * pitch < 0.48 * sample_rate)
    return total


def _rhythm(rhythm: str, rng: np.random.Generator, time: Wave, length: float) -> Wave:
    """Loudness over time since the onset."""
    tempo = rng.uniform(2.5, 5.0)  # beats a second
    decay = rng.uniform(6.0, 12.0)  # per second
    match rhythm:
        case "sustained":
            beats = np.array([0.0])
            decay = 0.0
        case "struck":
            beats, decay = np.array([0.0]), decay / 4
        case "pulsed":
            beats = np.arange(0.0, length, 1 / tempo)
        case "hurried":  # ever faster
            beats = length * (1 - 0.8 ** np.arange(2 + round(3 * tempo)))
        case "paired":
            firsts = np.arange(0.0, length, 2 / tempo)
            beats = np.sort(np.concatenate([firsts, firsts + 0.4 / tempo]))
        case "trembling":
            beats, decay = np.array([0.0]), 0.0
        case _:
            raise ValueError(rhythm)
    elapsed = time - beats[np.clip(np.searchsorted(beats, time, "right") - 1, 0, None)]
    loudness = np.exp(-decay * np.maximum(elapsed, 0.0)) * np.clip(elapsed / 0.008, 0.0, 1.0)
    if rhythm == "trembling":
        loudness *= 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(7.0, 12.0) * time)
    envelope: Wave = loudness * np.clip((length - time) / 0.05, 0.0, 1.0)
    return envelope


def _tilt(wave: Wave, slope: float, sample_rate: int) -> Wave:
    """Tilt a spectrum by ``slope`` dB an octave."""
    spectrum = np.fft.rfft(wave)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / sample_rate), 50.0) / 1000.0)
    return np.fft.irfft(spectrum * np.power(10.0, slope * octaves / 20.0), len(wave))
