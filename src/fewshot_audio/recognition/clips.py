"""What a recognizer takes as clips: files or arrays, one or many."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.decode import Decoded, decode, resample_recording
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.timbre import segment_timbre
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.encoders import ClipEncoders, Encoded
from fewshot_audio.recognition.enrolled import LONGEST_CLIP_NAME, is_text

SILENCE_FRAME = 0.05  # seconds
SILENCE_DB = 60  # below the clip's loudest frame
MOST_CHANNELS = 32  # of an array; more are taken for samples
HIGHEST_RATE = 1e7  # Hz, of an array


@dataclass(frozen=True)
class LoadedClip:
    """A recording that is ready for the network: normalized and cut into segments, once.

    Args:
        name: its name; if empty, ``load_clips`` calls it "clip N" by its position among the clips.
        segments: (S, segment_samples), S >= 1.
        silence: share of the recording that is silent, 0 to 1.
        seconds: duration of the recording.
        damage: what is wrong with its file, of which the rest was read; "" if nothing is.
        group: the recording that it was cut out of, as others may be; "" if it is a recording itself.
    """

    name: str
    segments: Samples
    silence: float
    seconds: float
    damage: str = ""
    group: str = ""

    @classmethod
    def of(cls, samples: Samples, preprocessing: Preprocessing, name: str = "") -> Self:
        """Normalize a recording (samples,) at the preprocessing's ``recording_rate`` and cut it into segments.

        Raises:
            Rejected: as ``Preprocessing.normalize`` does: too short, silent, or not finite.
        """
        normalized = preprocessing.normalize(samples)
        silent = silence(normalized, preprocessing.sample_rate)
        return cls(name, preprocessing.segments(normalized), silent, len(samples) / preprocessing.recording_rate)

    def timbre(self, preprocessing: Preprocessing) -> Samples:
        """The timbre of its segments, (S, TIMBRE_WIDTH)."""
        samples = round(self.seconds * preprocessing.recording_rate)
        return segment_timbre(self.segments, samples, preprocessing.sample_rate)

    def encoded(
        self, encoders: ClipEncoders, preprocessing: Preprocessing, names: Iterable[str] | None = None
    ) -> Encoded:
        """Rows of its segments by frozen encoders of these names; default: by all."""
        samples = round(self.seconds * preprocessing.recording_rate)
        return encoders.rows(self.segments, samples, preprocessing.sample_rate, names)


Clip: TypeAlias = str | Path | NDArray[Any] | tuple[NDArray[Any], float] | LoadedClip
"""A file; samples, mono or of channels on either axis, and their rate in Hz; samples alone, if the rate is given
beside them; or a clip that is loaded."""

Clips: TypeAlias = Clip | Sequence[Clip]


def as_clips(clips: Clips) -> Sequence[Clip]:
    """A sequence of clips, from one or several of them; rows of a 2-D array are clips.

    Raises:
        DataError: for an array of another number of axes.
    """
    if isinstance(clips, str | Path | LoadedClip) or _has_rate(clips):
        return (cast(Clip, clips),)
    if isinstance(clips, np.ndarray) and clips.ndim == 1:
        return (clips,)
    if isinstance(clips, np.ndarray) and clips.ndim != 2:
        raise DataError(f"an array of shape {clips.shape}: expected (samples,) for a clip or (clips, samples)")
    return list(cast(Sequence[Clip], clips))


def load_clips(clips: Clips, preprocessing: Preprocessing, rate: float | None = None) -> Iterator[LoadedClip]:
    """Load clips one after another, by the preprocessing that the network was trained with.

    Args:
        clips: one clip or several.
        preprocessing: of the recognizer.
        rate: of arrays that come without their own, Hz.

    Raises:
        DataError: a clip cannot be used; names the file or the number of the array, and the reason.
    """
    for number, clip in enumerate(as_clips(clips), start=1):
        if isinstance(clip, LoadedClip):
            loaded = replace(clip, name=clip.name or f"clip {number}")
            if not is_text(loaded.name) or len(loaded.name) > LONGEST_CLIP_NAME:
                raise DataError(f"clip {number}: its name is not text of at most {LONGEST_CLIP_NAME} characters")
            if loaded.segments.ndim != 2 or loaded.segments.shape[1] != preprocessing.segment_samples:
                raise DataError(
                    f"{loaded.name}: segments of shape {loaded.segments.shape}, expected (S, "
                    f"{preprocessing.segment_samples}), as LoadedClip.of makes them by the recognizer's preprocessing"
                )
            yield loaded
            continue
        name = as_text(Path(clip).name) if isinstance(clip, str | Path) else f"clip {number}"
        try:
            samples, damage = clip_samples(clip, preprocessing.recording_rate, rate, name)
            yield replace(LoadedClip.of(samples, preprocessing, name), damage=damage)
        except Rejected as error:
            raise DataError(f"{as_text(clip) if isinstance(clip, str | Path) else name}: {error}") from error


def as_text(path: str | Path) -> str:
    """A path or name as text that can be written anywhere; bytes that are no text are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def silence(samples: Samples, rate: int) -> float:
    """Share of a clip's frames of 50 ms that are more than 60 dB below its loudest one.

    Shape: samples (n,), ``rate`` in Hz -> from 0 to 1.
    """
    length = max(1, round(SILENCE_FRAME * rate))
    frames = samples[: max(1, len(samples) // length) * length].reshape(-1, min(length, len(samples)))
    loudness = frames.std(axis=1)
    return float((loudness < loudness.max() * 10 ** (-SILENCE_DB / 20)).mean())


def clip_samples(clip: Clip, rate: int, given_rate: float | None, name: str) -> Decoded:
    """Mono samples of a clip at ``rate``, and what is wrong with its file."""
    if isinstance(clip, str | Path):
        return decode(Path(clip), rate)
    array, array_rate = clip if _has_rate(clip) else (clip, given_rate)
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"a clip of type {type(array).__name__}: expected a path, an array, or a pair of an array and its rate"
        )
    if array.ndim == 2 and min(array.shape) <= MOST_CHANNELS < max(array.shape):
        array = array.mean(axis=int(np.argmin(array.shape)), dtype=np.float64)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise DataError(
            f"an array {array.shape} of {array.dtype}: expected one axis of numbers, or two of which one has up to "
            f"{MOST_CHANNELS} channels"
        )
    if array_rate is None:
        raise DataError(
            f"{name}: an array without its sample rate: write (array, rate), or add rate=, such as rate={rate} if the "
            f"samples are at the recognizer's own {rate} Hz"
        )
    if not 0 < array_rate <= HIGHEST_RATE:
        raise DataError(f"{name}: a sample rate of {array_rate} Hz, expected above 0 and at most {HIGHEST_RATE:g}")
    samples = np.ascontiguousarray(array, dtype=np.float32)
    return Decoded(samples if array_rate == rate else resample_recording(samples, array_rate, rate), "")


def _has_rate(clip: Any) -> TypeGuard[tuple[Any, float]]:
    return isinstance(clip, tuple) and len(clip) == 2 and isinstance(clip[1], int | float | np.integer | np.floating)
