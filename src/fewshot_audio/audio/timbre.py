"""Statistics of a sound's timbre: what log-mel cepstra are on average, how they vary, and where they move.

They need no training, take a sound of any length, and do not depend on its level. A network adds what it learned; these
numbers tell apart what no training set held.
"""

import functools

import numpy as np

from fewshot_audio.audio.mel import ExactLogMel, FloatArray
from fewshot_audio.audio.samples import Samples

CEPSTRA = 20
RANGE_DB = 80.0
"""What is further below a sound's loudest point counts as that far below."""

SCALES = ((0.128, 0.032, 128), (0.025, 0.010, 40))
"""Window and hop in seconds, and mel bins, of each time scale: one for pitch, one for what is brief."""

_STATISTICS = 6
LEAST_FRAMES = 3
EPS = 1e-20
"""Power that is added before the logarithm."""

LEAST_DEVIATION = 0.1
"""dB that are added to deviations before their logarithm: below it, nothing varies."""

TIMBRE_WIDTH = len(SCALES) * _STATISTICS * CEPSTRA


def timbre(samples: Samples, sample_rate: int) -> FloatArray:
    """Describe a sound by statistics over the frames of its cepstra.

    The log-mel spectrogram in dB, from the loudest point down by ``RANGE_DB``, is turned into ``CEPSTRA`` cepstra by an
    orthonormal DCT-II. Over the frames, each cepstrum has

    - its mean and the logarithm of its standard deviation, all frames alike;
    - the same with each frame weighted by its amplitude, so that silence around a sound does not count;
    - its slope, over the sound's duration from -1 to 1;
    - the logarithm of the standard deviation of its steps from frame to frame.

    All this at two time scales, windows of 128 ms and 25 ms. A sound shorter than three hops is padded with silence.

    Args:
        samples: any level, but not all equal to be of use; longer than nothing.
        sample_rate: Hz.

    Shape:
        (samples,) -> (TIMBRE_WIDTH,), float64.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
        >>> timbre(noise, 16_000).shape, bool(np.allclose(timbre(noise, 16_000), timbre(8 * noise, 16_000)))
        ((240,), True)
    """
    return np.concatenate([_statistics(samples, sample_rate, *scale) for scale in SCALES])


def segment_timbre(segments: Samples, samples: int, sample_rate: int) -> Samples:
    """The timbre of a recording's segments; where the last one was filled up, of what was there before.

    Args:
        segments: (S, segment_samples).
        samples: how many samples the recording has at ``sample_rate``.
        sample_rate: Hz.

    Shape:
        -> (S, TIMBRE_WIDTH), float32.
    """
    length = segments.shape[1]
    rest = samples - (len(segments) - 1) * length
    last = segments[-1][: rest if 0 < rest < length else length]
    return np.stack([timbre(part, sample_rate) for part in (*segments[:-1], last)]).astype(np.float32)


def _statistics(samples: Samples, sample_rate: int, window: float, hop: float, n_mels: int) -> FloatArray:
    hop_length = max(1, round(hop * sample_rate))
    least = (LEAST_FRAMES - 1) * hop_length
    if len(samples) < least:
        samples = np.pad(samples, (0, least - len(samples)))
    decibels = _log_mel(sample_rate, max(2, round(window * sample_rate)), hop_length, n_mels)(samples).T
    amplitudes = np.sqrt((10.0 ** (decibels / 10.0)).sum(axis=1))
    loudest = decibels.max()
    cepstra = np.maximum(decibels - loudest, -RANGE_DB) @ cepstral_transform(n_mels).T
    weights = amplitudes / amplitudes.sum()
    mean, weighted_mean = cepstra.mean(axis=0), weights @ cepstra
    time = np.linspace(-1.0, 1.0, len(cepstra))
    steps = np.diff(cepstra, axis=0)
    return np.concatenate(
        [
            mean,
            _log(cepstra.std(axis=0)),
            weighted_mean,
            _log(np.sqrt(weights @ np.square(cepstra - weighted_mean))),
            time @ (cepstra - mean) / (time @ time),
            _log(steps.std(axis=0)),
        ]
    )


def _log(deviations: FloatArray) -> FloatArray:
    logarithms: FloatArray = np.log(deviations + LEAST_DEVIATION)
    return logarithms


@functools.lru_cache(maxsize=8)
def _log_mel(sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> ExactLogMel:
    return ExactLogMel(sample_rate, n_fft, hop_length, n_mels, EPS)


@functools.lru_cache(maxsize=8)
def cepstral_transform(n_mels: int) -> FloatArray:
    """The first rows of the orthonormal DCT-II. Shape: (CEPSTRA, n_mels)."""
    angles = np.pi / n_mels * np.outer(np.arange(CEPSTRA), np.arange(n_mels) + 0.5)
    matrix: FloatArray = np.sqrt(2.0 / n_mels) * np.cos(angles)
    matrix[0] /= np.sqrt(2.0)
    return matrix
