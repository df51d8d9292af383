"""What a recognizer takes as clips: files or arrays, one or many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.decode import Samples, decode, resample
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import DataError

Clip: TypeAlias = str | Path | NDArray[Any] | tuple[NDArray[Any], int]
"""A file; or mono samples at the recognizer's rate; or mono samples and their rate in Hz."""

Clips: TypeAlias = Clip | Sequence[Clip]

SILENCE_FRAME = 0.05  # seconds
SILENCE_DB = 60  # below the clip's loudest frame


@dataclass(frozen=True)
class LoadedClip:
    """A clip ready for a network: ``name`` for people, ``segments`` (S, samples), and its share of silence, 0..1."""

    name: str
    segments: Samples
    silence: float


def as_clips(clips: Clips) -> Sequence[Clip]:
    """A sequence of clips, whether one or several are given; rows of a 2-D array are clips."""
    if isinstance(clips, str | Path) or _is_pair(clips) or (isinstance(clips, np.ndarray) and clips.ndim == 1):
        return (cast(Clip, clips),)
    if isinstance(clips, np.ndarray) and clips.ndim != 2:
        raise DataError(f"an array of shape {clips.shape}: expected (samples,) for a clip or (clips, samples)")
    return list(cast(Sequence[Clip], clips))


def load_clips(clips: Clips, preprocessing: Preprocessing) -> Iterator[LoadedClip]:
    """Load clips one after another, through the preprocessing that the network was trained with.

    Raises DataError that names the file, or the number of the array, and why it cannot be used.
    """
    for number, clip in enumerate(as_clips(clips), start=1):
        named = isinstance(clip, str | Path)
        name = Path(clip).name if isinstance(clip, str | Path) else f"clip {number}"
        try:
            samples = preprocessing.normalize(_samples(clip, preprocessing.sample_rate))
        except Rejected as error:
            raise DataError(f"{clip if named else name}: {error}") from error
        yield LoadedClip(name, preprocessing.segments(samples), silence(samples, preprocessing.sample_rate))


def _samples(clip: Clip, rate: int) -> Samples:
    """Mono samples of a clip at ``rate``."""
    if isinstance(clip, str | Path):
        return decode(Path(clip), rate)
    given = rate
    if _is_pair(clip):
        clip, given = clip
    if not isinstance(clip, np.ndarray):
        raise DataError(
            f"a clip of type {type(clip).__name__}: expected a path, an array, or a pair of an array and its rate"
        )
    if clip.ndim != 1 or clip.dtype.kind not in "fiu":
        raise DataError(f"an array {clip.shape} of {clip.dtype}: expected mono samples, one axis of numbers")
    samples = np.ascontiguousarray(clip, dtype=np.float32)
    return samples if given == rate else resample(samples, given, rate)


def _is_pair(clip: Any) -> bool:
    return isinstance(clip, tuple) and len(clip) == 2 and isinstance(clip[1], int | float | np.integer | np.floating)


def silence(samples: Samples, rate: int) -> float:
    """Share of a clip's frames of 50 ms that are more than 60 dB below its loudest one."""
    length = max(1, round(SILENCE_FRAME * rate))
    frames = samples[: max(1, len(samples) // length) * length].reshape(-1, min(length, len(samples)))
    loudness = frames.std(axis=1)
    return float((loudness < loudness.max() * 10 ** (-SILENCE_DB / 20)).mean())
