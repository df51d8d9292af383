"""Preprocessing: from a recording to the network's input; saved with every dataset and every model.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

import functools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.mel import ExactLogMel, ExactMel, ExactPcen
from fewshot_audio.audio.pcen import MOST_FRAMES
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.segments import Compat, Fill, fill_segment, normalize
from fewshot_audio.errors import DataError

if TYPE_CHECKING:
    import torch

    from fewshot_audio.audio.features import MelFrontEnd

FrontEnd = Literal["log-mel", "pcen"]

_NEW = ("fmin", "fmax", "frontend", "slowdown", "fill")  # keys that version 0.1 did not have
LEAST_SECONDS = 0.02
"""A shorter recording is refused."""

MOST_RATE = 768_000
"""Hz at which a recording is read, at most."""


class Preprocessing(BaseModel):
    """How recordings become segments and features; immutable, hashable, compared by value.

    A recording is read as mono at ``sample_rate`` (played ``slowdown`` times slower), z-normalized as a whole, cut into
    consecutive segments of ``segment_seconds``, and each segment becomes a log-mel spectrogram (see ``LogMel``) or the
    PCEN of one (see ``audio/pcen.py``).

    Attributes:
        sample_rate: rate to which recordings are resampled, in Hz.
        segment_seconds: length of a segment, in seconds; at least one FFT window.
        n_fft: length of an FFT window, in samples at ``sample_rate``.
        hop_length: distance of spectrogram frames, in samples at ``sample_rate``; at most ``n_fft``.
        n_mels: number of mel bins, evenly spaced on the mel scale from ``fmin`` to ``fmax``; at most
            ``n_fft // 2 + 1``.
        eps: power added to every mel bin before the logarithm; silence is ``10 * log10(eps)`` dB.
        compat: the program whose way of filling the last segment is reproduced, see ``segments``; "" for none. It is
            meant for comparisons only.
        fmin: lower edge of the first mel bin, in Hz.
        fmax: upper edge of the last mel bin, in Hz; None for the Nyquist frequency, half of ``sample_rate``.
        frontend: "log-mel", in decibels; or "pcen", per-channel energy normalization, which divides each mel bin by
            its own moving average and so removes steady noise.
        slowdown: how many times slower recordings are played before everything else, to bring ultrasound into the
            range of hearing; all rates, frequencies and lengths here are those of the slowed sound. With 10 and a
            ``sample_rate`` of 16 kHz, a bat's call at 50 kHz is heard at 5 kHz, and 5 s are half a second outdoors.
        fill: what the rest of a segment is filled with if a recording ends in it: "repeat", the last part again; or
            "silence".

    A key that is added after version 0.1 is not written while it has its default: earlier versions read the rest.

    Example:
        >>> preprocessing = Preprocessing(segment_seconds=1.0)
        >>> segments = preprocessing.segments(np.ones(24_000, np.float32))
        >>> segments.shape, preprocessing.features(segments).shape
        ((2, 16000), (2, 128, 32))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    sample_rate: Annotated[int, Field(ge=1000, le=768_000)] = 16_000
    segment_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    n_fft: Annotated[int, Field(ge=16, le=1 << 16)] = 1024
    hop_length: Annotated[int, Field(ge=1)] = 512
    n_mels: Annotated[int, Field(ge=1)] = 128
    eps: Annotated[float, Field(gt=0)] = 2.22e-16
    compat: Compat = ""
    fmin: Annotated[float, Field(ge=0)] = 0.0
    fmax: Annotated[float, Field(gt=0)] | None = None
    frontend: FrontEnd = "log-mel"
    slowdown: Annotated[int, Field(ge=1, le=1000)] = 1
    fill: Fill = "repeat"

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialize(self)
        defaults = {name: type(self).model_fields[name].default for name in _NEW}
        return {name: value for name, value in values.items() if name not in _NEW or value != defaults[name]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} must not exceed n_fft {self.n_fft}")
        if self.n_mels > self.n_fft // 2 + 1:
            raise ValueError(f"n_mels {self.n_mels} must not exceed the {self.n_fft // 2 + 1} frequencies of the FFT")
        if self.segment_samples < self.n_fft:
            raise ValueError(
                f"segment_seconds {self.segment_seconds:g} is {self.segment_samples} samples at {self.sample_rate} Hz, "
                f"less than one FFT window of {self.n_fft}: make n_fft smaller, or segments longer"
            )
        if self.sample_rate * self.slowdown > MOST_RATE:
            raise ValueError(
                f"sample_rate {self.sample_rate} x slowdown {self.slowdown}, at which recordings are read, must not "
                f"exceed {MOST_RATE} Hz"
            )
        nyquist = self.sample_rate / 2
        highest = nyquist if self.fmax is None else self.fmax
        if not self.fmin < highest <= nyquist:
            raise ValueError(
                f"fmin {self.fmin:g} and fmax {highest:g}: expected fmin < fmax <= {nyquist:g}, half of sample_rate"
            )
        if self.frontend == "pcen" and self.frames > MOST_FRAMES:
            raise ValueError(f"a segment has {self.frames} frames: pcen takes at most {MOST_FRAMES}, see hop_length")
        if self.compat and self.fill != "repeat":
            raise ValueError(f"fill {self.fill!r} has no effect beside compat {self.compat!r}: leave out one")
        return self

    @classmethod
    def of(cls, **values: object) -> Self:
        """Build from keyword values.

        Raises:
            DataError: names each wrong key, its value and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise DataError(_explain("preprocessing", error)) from error

    @classmethod
    def from_json(cls, text: str, origin: str = "preprocessing") -> Self:
        """Read what ``to_json`` wrote.

        Args:
            text: a JSON object.
            origin: the file that errors name.

        Raises:
            DataError: names each wrong key, its value and what is allowed.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DataError(_explain(origin, error)) from error

    def to_json(self) -> str:
        """Return an indented JSON object, which ``from_json`` reads."""
        return json.dumps(self.model_dump(), indent=2) + "\n"

    @property
    def recording_rate(self) -> int:
        """Rate at which recordings are read, in Hz; played at ``sample_rate`` they are ``slowdown`` times slower."""
        return self.sample_rate * self.slowdown

    @property
    def recording_seconds(self) -> float:
        """Seconds of a recording that a segment holds."""
        return self.segment_seconds / self.slowdown

    @property
    def segment_samples(self) -> int:
        """Number of samples of a segment."""
        return round(self.segment_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Number of spectrogram frames of a segment."""
        return 1 + self.segment_samples // self.hop_length

    def front_end(self, dtype: "torch.dtype | None" = None) -> "MelFrontEnd":
        """Return the torch module that computes the features of waveforms on any device.

        Args:
            dtype: of the module's buffers; float32 if None.
        """
        import torch  # not needed to prepare recordings

        from fewshot_audio.audio.features import LogMel, Pcen

        sizes = self.sample_rate, self.n_fft, self.hop_length, self.n_mels
        dtype = dtype or torch.float32
        if self.frontend == "pcen":
            return Pcen(*sizes, self.fmin, self.fmax, dtype)
        return LogMel(*sizes, self.eps, dtype, self.fmin, self.fmax)

    def log_mel(self, dtype: "torch.dtype | None" = None) -> "MelFrontEnd":
        """The former name of ``front_end``."""
        return self.front_end(dtype)

    def load(self, path: str | Path) -> Samples:
        """Read and z-normalize a recording.

        Returns:
            Samples (samples,), float32.

        Raises:
            Rejected: as ``decode`` and ``normalize`` raise it; names the file.
        """
        try:
            return self.normalize(decode(Path(path), self.recording_rate).samples)
        except Rejected as error:
            raise Rejected(error.reason, f"{path}: {error.detail}") from error

    def normalize(self, samples: Samples, floor: float = 0.0) -> Samples:
        """Shift and scale a whole recording (samples,) to mean 0 and standard deviation 1.

        Args:
            samples: the recording.
            floor: the standard deviation below which it is silent, as ``decode.Level`` has it.

        Raises:
            Rejected: the recording is shorter than 20 ms (of the slowed sound), is silent (all samples equal, or below
                ``floor``), or holds NaN or infinite samples.
        """
        least = math.ceil(LEAST_SECONDS * self.sample_rate)
        if len(samples) < least:
            length = f"{len(samples)} samples at {self.recording_rate} Hz"
            raise Rejected(Reason.TOO_SHORT, f"{length}, expected at least {least} ({1000 * LEAST_SECONDS:g} ms)")
        return normalize(samples, floor)

    def segments(self, waveform: Samples) -> Samples:
        """Cut a waveform into consecutive segments, at least one.

        The remainder after the last full segment is repeated to the length of a segment, and so is a clip shorter than
        a segment; with ``fill`` "silence" they are padded with zeros instead. A remainder shorter than one FFT window
        after a full segment is dropped. A clip that short is padded with zeros to one window, then filled up.

        With ``compat`` a remainder of any length is kept, and a clip shorter than a segment (c) and a remainder after a
        full segment (r) become a segment as in that program; ``times`` is how many of them a segment holds, rounded up:

        - "metaaudio-offline", MetaAudio's script ``to_var_spec``, which made the published features: each sample of
          c or r is repeated ``times`` times, which slows the sound down.
        - "metaaudio-training", MetaAudio when it cuts while training: c is tiled; r is replaced by the clip's start.
        - "authors-waveforms", the authors' waveform input: each sample of c, or of the clip's start in place of r, is
          repeated ``times`` times.
        - "metaaudio", no program but what version 0.1 called so: each sample of c is repeated; r is replaced by the
          clip's start.

        Shape:
            (samples,) -> (segments, segment_samples).
        """
        length = self.segment_samples
        if len(waveform) < self.n_fft and not self.compat:
            waveform = np.pad(waveform, (0, self.n_fft - len(waveform)))
        whole = len(waveform) // length
        full, rest = waveform[: whole * length].reshape(whole, length), waveform[whole * length :]
        if whole == self.segment_count(len(waveform)):
            return full
        return np.concatenate([full, fill_segment(waveform, rest, length, self.fill, self.compat)[None]])

    def segment_count(self, samples: int) -> int:
        """Number of segments into which ``segments`` cuts so many samples, at least one."""
        whole, rest = divmod(samples, self.segment_samples)
        return whole + (rest > 0 and not (whole > 0 and rest < self.n_fft and not self.compat))

    def features(self, segments: Samples) -> Samples:
        """Compute log-mel spectrograms in dB, or their PCEN, in float64, rounded to float32.

        Shape:
            (segments, segment_samples) -> (segments, n_mels, frames).
        """
        spectrogram = _exact_front_end(self)
        features = np.empty((len(segments), self.n_mels, self.frames), dtype=np.float32)
        for number, segment in enumerate(segments):
            features[number] = spectrogram(segment)
        return features


@functools.lru_cache(maxsize=8)
def _exact_front_end(preprocessing: Preprocessing) -> ExactMel:
    p = preprocessing
    sizes = p.sample_rate, p.n_fft, p.hop_length, p.n_mels
    if p.frontend == "pcen":
        return ExactPcen(*sizes, p.fmin, p.fmax)
    return ExactLogMel(*sizes, p.eps, p.fmin, p.fmax)


def _explain(origin: str, error: ValidationError) -> str:
    problems = []
    for details in error.errors():
        key = ".".join(map(str, details["loc"]))
        value = "" if details["type"] in ("json_invalid", "value_error") else f" (found {details['input']!r})"
        problems.append(f"{key + ': ' if key else ''}{details['msg'].removeprefix('Value error, ')}{value}")
    return f"{origin}: {'; '.join(problems)}"
