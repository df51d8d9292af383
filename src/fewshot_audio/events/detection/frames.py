"""Frames of a recording: mel power every 5 ms, in blocks with context, so that memory does not grow with its length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.mel import mel_filterbank
from fewshot_audio.audio.samples import Samples

Frames = NDArray[np.float32]
"""Of frames: most often (frames, N_MELS)."""
Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]

RATE = 22050
FRAME_SECONDS = 0.0465
"""Length of a frame; the FFT has the largest power of two samples up to it."""
HOP = 110
FRAMES_PER_SECOND = RATE / HOP
N_MELS = 64
LOWEST_HZ = 50.0

UNIT = 200
"""Frames, a second of them, of which one noise floor is taken; blocks begin and end at multiples of it."""
BLOCK_UNITS = 60
FLOOR_UNITS = 4
"""The floor of a unit is the median of those of as many before it, itself, and as many after it."""
QUIET_PERCENT = 30

_CHUNK = 1024


@dataclass(frozen=True)
class Block:
    """A stretch of a recording with context on both sides.

    Args:
        first: number of the first frame in ``power``, a multiple of ``UNIT``.
        core: numbers of the first frame of the stretch itself, and of the one behind its last.
        power: mel power, with the context (frames, N_MELS).
    """

    first: int
    core: tuple[int, int]
    power: Frames

    def excerpt(self, step: int) -> "Excerpt":
        """Its frames at a coarser hop, with their noise floor."""
        return Excerpt.of(self.power, self.first, self.core, step)


@dataclass(frozen=True)
class Excerpt:
    """A block at the hop of one label: numbers of frames count ``step`` frames as one.

    Args:
        first: number of the first frame.
        core: numbers of the first frame of the stretch itself, and of the one behind its last.
        power: mel power (frames, N_MELS).
        floor: noise floor (frames, N_MELS).
        step: frames of 5 ms that count as one, 1 or 2.
    """

    first: int
    core: tuple[int, int]
    power: Frames
    floor: Frames
    step: int

    @classmethod
    def of(cls, power: Frames, first: int, core: tuple[int, int], step: int) -> "Excerpt":
        """Average ``step`` frames at a time and take the noise floor of each second.

        A single frame at the end of the recording that has no other to be averaged with is left out, unless it is all.
        """
        if len(power) < step:
            power = np.repeat(power, step, axis=0)
        whole = len(power) // step
        averaged = power[: whole * step].reshape(whole, step, N_MELS).mean(axis=1) if step > 1 else power
        floor = noise_floor(averaged, UNIT // step)
        return cls(first // step, (core[0] // step, core[1] // step), averaged, floor, step)


def noise_floor(power: Frames, unit: int) -> Frames:
    """What each band has where nothing is heard: of each unit its quiet frames, the median of nine, smoothed.

    Shape:
        (frames, N_MELS) -> (frames, N_MELS).
    """
    from scipy.ndimage import uniform_filter1d  # here, because the server reads this module when it starts

    units = max(1, len(power) // unit)
    quiet = np.stack([np.percentile(power[n * unit : (n + 1) * unit], QUIET_PERCENT, axis=0) for n in range(units)])
    floors = [np.median(quiet[max(0, n - FLOOR_UNITS) : n + FLOOR_UNITS + 1], axis=0) for n in range(units)]
    repeated = np.repeat(np.asarray(floors, np.float32), unit, axis=0)[: len(power)]
    rest = len(power) - len(repeated)
    if rest:
        repeated = np.concatenate([repeated, np.repeat(repeated[-1:], rest, axis=0)])
    smooth: Frames = uniform_filter1d(repeated, unit, axis=0, mode="nearest")
    return smooth


def n_fft_of(rate: int) -> int:
    """Samples of a frame: the largest power of two in ``FRAME_SECONDS``."""
    return 1 << int(np.log2(FRAME_SECONDS * rate))


def hop_of(rate: int) -> int:
    """Samples from frame to frame, 5 ms of them."""
    return round(rate / UNIT)


def mel_frames(blocks: Iterable[Samples], rate: int = RATE) -> Iterator[Frames]:
    """Mel power of a stream of samples at ``rate``: a frame every ``hop_of(rate)`` samples, centered on them.

    Yields:
        (frames, N_MELS), a chunk at a time; 1 + samples // hop frames in all.
    """
    hop, n_fft = hop_of(rate), n_fft_of(rate)
    rest: Samples = np.zeros(n_fft // 2, np.float32)
    step = _CHUNK * hop
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= step + n_fft:
            yield _powers(rest[: step + n_fft - hop], rate)
            rest = rest[step:]
    rest = np.concatenate([rest, np.zeros(n_fft // 2, np.float32)])
    while len(rest) >= n_fft:
        yield _powers(rest[: step + n_fft - hop], rate)
        rest = rest[step:]


def cut_blocks(chunks: Iterable[Frames], context_units: int) -> Iterator[Block]:
    """Cut a stream of frames into blocks of a minute.

    Args:
        chunks: frames, in order.
        context_units: units of context that a block has on each side, unless the recording begins or ends there.
    """
    context, length = context_units * UNIT, BLOCK_UNITS * UNIT
    held: Frames = np.empty((0, N_MELS), np.float32)
    first = start = 0
    waiting: list[Frames] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        while first + len(held) + size >= start + length + context:
            held, waiting, size = np.concatenate([held, *waiting]), [], 0
            end = start + length
            yield Block(first, (start, end), held[: end + context - first])
            start = end
            keep = max(0, start - context)
            held, first = held[keep - first :].copy(), keep
    held = np.concatenate([held, *waiting])
    while start < first + len(held):
        end = min(start + length, first + len(held))
        yield Block(first, (start, end), held[: end + context - first])
        start = end
        keep = max(first, start - context)
        held, first = held[keep - first :], keep


def _powers(samples: Samples, rate: int) -> Frames:
    n_fft = n_fft_of(rate)
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[:: hop_of(rate)]
    spectra = np.fft.rfft(frames * _window(n_fft))
    power = np.square(spectra.real)
    power += np.square(spectra.imag)
    mel: Frames = power @ _filters(rate, n_fft)
    return mel


@lru_cache(maxsize=4)
def _window(n_fft: int) -> Samples:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


@lru_cache(maxsize=4)
def _filters(rate: int, n_fft: int) -> Frames:
    """Mel filters from ``LOWEST_HZ`` on. Shape: (n_fft // 2 + 1, N_MELS)."""
    filters = mel_filterbank(rate, n_fft, N_MELS)
    filters[:, : int(np.ceil(LOWEST_HZ * n_fft / rate))] = 0.0
    return np.ascontiguousarray(filters.T.astype(np.float32))
