"""The one way from a recording to what the network sees; saved with every dataset and every model."""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewshot_audio.audio.decode import Samples, decode
from fewshot_audio.audio.mel import ExactLogMel
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.errors import DataError

if TYPE_CHECKING:
    import torch

    from fewshot_audio.audio.features import LogMel

Compat = Literal["", "metaaudio", "metaaudio-offline"]

_BLOCK = 1 << 20  # samples normalized at once


class Preprocessing(BaseModel):
    """How recordings become segments and log-mel features; immutable, hashable, compared by value.

    A recording is read as mono at ``sample_rate`` Hz, z-normalized as a whole, cut into consecutive segments of
    ``segment_seconds``, and each segment becomes a log-mel spectrogram (see ``LogMel``). ``compat`` names other
    programs whose way of filling up segments is reproduced: it slows short sounds down, so it is for comparisons only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    sample_rate: Annotated[int, Field(ge=1000, le=768_000)] = 16_000
    segment_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    n_fft: Annotated[int, Field(ge=16, le=1 << 16)] = 1024
    hop_length: Annotated[int, Field(ge=1)] = 512
    n_mels: Annotated[int, Field(ge=1)] = 128
    eps: Annotated[float, Field(gt=0)] = 2.22e-16
    compat: Compat = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} must not exceed n_fft {self.n_fft}")
        if self.n_mels > self.n_fft // 2 + 1:
            raise ValueError(f"n_mels {self.n_mels} must not exceed the {self.n_fft // 2 + 1} frequencies of the FFT")
        if self.segment_samples < self.n_fft:
            raise ValueError(
                f"segment_seconds {self.segment_seconds:g} is {self.segment_samples} samples at {self.sample_rate} Hz, "
                f"less than one FFT window of {self.n_fft}"
            )
        return self

    @classmethod
    def of(cls, **values: object) -> Self:
        """Build from keyword values; raises DataError that names each wrong key, what was given and what is allowed."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise DataError(_explain("preprocessing", error)) from error

    @classmethod
    def from_json(cls, text: str, origin: str = "preprocessing") -> Self:
        """Read what ``to_json`` wrote; ``origin`` names the file in the DataError raised for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DataError(_explain(origin, error)) from error

    def to_json(self) -> str:
        """This preprocessing as an indented JSON object."""
        return json.dumps(self.model_dump(), indent=2) + "\n"

    @property
    def segment_samples(self) -> int:
        """Samples in a segment."""
        return round(self.segment_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Spectrogram frames in a segment."""
        return 1 + self.segment_samples // self.hop_length

    def log_mel(self, dtype: "torch.dtype | None" = None) -> "LogMel":
        """The feature module, for waveforms that are already on a device; ``dtype`` (float32) is its buffers'."""
        import torch  # not needed to prepare recordings

        from fewshot_audio.audio.features import LogMel

        return LogMel(self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.eps, dtype or torch.float32)

    def load(self, path: Path) -> Samples:
        """Read and z-normalize a recording: (samples,) float32.

        Raises:
            Rejected: as ``decode`` and ``normalize`` do.
        """
        return self.normalize(decode(path, self.sample_rate))

    def normalize(self, samples: Samples) -> Samples:
        """Shift and scale a whole recording (samples,) to mean 0 and standard deviation 1.

        Raises:
            Rejected: shorter than one FFT window, silent (all samples equal), or not finite.
        """
        if len(samples) < self.n_fft:
            needed = f"{len(samples)} samples at {self.sample_rate} Hz, expected at least {self.n_fft} (one FFT window)"
            raise Rejected(Reason.TOO_SHORT, needed)
        low, high = samples.min(), samples.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise Rejected(Reason.NON_FINITE, "NaN or infinite samples")
        if low == high:
            raise Rejected(Reason.SILENT, f"every sample is {low:g}")
        mean = samples.mean(dtype=np.float64)
        starts = range(0, len(samples), _BLOCK)
        squares = (np.square(samples[s : s + _BLOCK] - mean).sum() for s in starts)
        deviation = np.sqrt(sum(squares) / len(samples))
        normalized = np.empty(len(samples), dtype=np.float32)
        for s in starts:
            normalized[s : s + _BLOCK] = (samples[s : s + _BLOCK] - mean) / deviation
        return normalized

    def segments(self, waveform: Samples) -> Samples:
        """Cut a waveform (samples,) into consecutive segments (S, segment_samples), S >= 1.

        The tail is tiled with itself up to the length, and so is a clip shorter than a segment. A tail shorter than
        one FFT window behind a full segment is left out: it is too short for the same reason as a clip would be.

        With ``compat`` a clip shorter than a segment has every sample repeated instead, and the segment at the tail
        (of any length) is the clip's start over again ("metaaudio", as MetaAudio fills it when it cuts while training)
        or the tail with every sample repeated ("metaaudio-offline", as its preparation scripts do).
        """
        length = self.segment_samples
        whole = len(waveform) // length
        if self.compat and len(waveform) % length:
            tail = waveform[whole * length :]
            if whole and self.compat == "metaaudio":
                last = waveform[:length]
            else:
                last = np.repeat(tail, -(-length // len(tail)))[:length]
            return np.concatenate([waveform[: whole * length].reshape(whole, length), last[None]])
        full, tail = waveform[: whole * length].reshape(whole, length), waveform[whole * length :]
        if whole and len(tail) < self.n_fft:
            return full
        return np.concatenate([full, np.resize(tail, (1, length))])

    def features(self, segments: Samples) -> Samples:
        """Log-mel spectrograms (S, n_mels, frames) float32 of segments (S, segment_samples); computed in float64."""
        log_mel = _exact_log_mel(self)
        features = np.empty((len(segments), self.n_mels, self.frames), dtype=np.float32)
        for number, segment in enumerate(segments):
            features[number] = log_mel(segment)
        return features


@functools.lru_cache(maxsize=8)
def _exact_log_mel(preprocessing: Preprocessing) -> ExactLogMel:
    p = preprocessing
    return ExactLogMel(p.sample_rate, p.n_fft, p.hop_length, p.n_mels, p.eps)


def _explain(origin: str, error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        key = ".".join(map(str, item["loc"]))
        found = "" if item["type"] in ("json_invalid", "value_error") else f" (found {item['input']!r})"
        problems.append(f"{key + ': ' if key else ''}{item['msg'].removeprefix('Value error, ')}{found}")
    return f"{origin}: {'; '.join(problems)}"
