"""The spectrogram of a long recording: made once, while it is decoded, and shown at any width."""

from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.samples import Samples

ROWS = 128
N_FFT = 512
HOP = 220  # samples, 10 ms at 22,050 Hz
LOWEST_DB, STEP_DB = -140.0, 0.7  # of level 0, and from one level to the next
QUIET_QUANTILE, LOUD_QUANTILE = 0.2, 0.9995  # of the levels, which are shown as the darkest and the brightest
LEAST_RANGE = 40  # levels from the darkest to the brightest

Levels = npt.NDArray[np.uint8]
"""Power in steps of ``STEP_DB`` (columns, ROWS), the lowest frequency first."""


class SpectrogramWriter:
    """Computes the spectrogram of a stream of samples and appends it to a file.

    Args:
        file: takes the bytes.

    Attributes:
        counts: how often each level has occurred (256,).
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest: Samples = np.zeros(N_FFT // 2, np.float32)  # so that column n is centered at n * HOP samples
        self.counts = np.zeros(256, np.int64)

    def add(self, samples: Samples) -> None:
        """Take the next samples (samples,)."""
        held = np.concatenate([self._rest, samples])
        columns = max(0, 1 + (len(held) - N_FFT) // HOP)
        if columns:
            self._write(levels(held[: (columns - 1) * HOP + N_FFT], HOP))
        self._rest = held[columns * HOP :]

    def close(self) -> None:
        """Write the last columns."""
        self.add(np.zeros(N_FFT // 2, np.float32))

    def _write(self, columns: Levels) -> None:
        self.counts += np.bincount(columns.reshape(-1), minlength=256)
        self._file.write(columns.tobytes())


def levels(samples: Samples, hop: int, window: int = N_FFT) -> Levels:
    """The spectrogram of samples (samples,), a column every ``hop`` samples, of windows of ``window`` <= N_FFT."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    shape = np.hanning(window).astype(np.float32)
    spectra = np.fft.rfft(frames * (shape / shape.sum()), N_FFT, axis=1)[:, 1:]
    power = np.square(spectra.real) + np.square(spectra.imag)
    in_rows = power.reshape(len(power), ROWS, -1).max(axis=2)
    decibels = 10 * np.log10(in_rows + 10 ** (LOWEST_DB / 10))
    scaled: Levels = np.clip((decibels - LOWEST_DB) / STEP_DB, 0, 255).astype(np.uint8)
    return scaled


def shown_range(counts: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The levels that are shown as the darkest and the brightest, of how often each level occurs (256,)."""
    shares = np.cumsum(counts) / max(1, counts.sum())
    darkest = int(np.searchsorted(shares, QUIET_QUANTILE))
    return darkest, max(darkest + LEAST_RANGE, int(np.searchsorted(shares, LOUD_QUANTILE)))


def read_columns(path: Path, first: int, last: int, width: int) -> Levels:
    """Columns ``first`` to ``last`` of a file; more than ``width`` are joined to ``width``, by their loudest.

    Shape:
        -> (columns, ROWS)
    """
    stored = np.memmap(path, np.uint8, "r").reshape(-1, ROWS)
    part = stored[max(0, first) : max(first + 1, last)]
    count = min(len(part), width)
    joined: Levels = np.maximum.reduceat(part, np.arange(count) * len(part) // count, axis=0)
    return joined


def picture(columns: Levels, darkest: int, brightest: int) -> Levels:
    """Levels as a picture (ROWS, columns), the highest frequency first: 0 is dark, 255 is bright."""
    steps = np.arange(256, dtype=np.float32)
    curve = np.clip(255 * (steps - darkest) / (brightest - darkest), 0, 255).astype(np.uint8)
    shown: Levels = np.ascontiguousarray(curve[columns].T[::-1])
    return shown
