"""Preprocessing: from a recording to the network's input; saved with every dataset and every model.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.mel import ExactLogMel
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError

if TYPE_CHECKING:
    import torch

    from fewshot_audio.audio.features import LogMel

# "metaaudio" is a mixture of two programs that version 0.1 made; it stays for the datasets and models that record it.
Compat = Literal["", "metaaudio-offline", "metaaudio-training", "authors-waveforms", "metaaudio"]

_BLOCK = 1 << 20  # samples that are normalized at once


class Preprocessing(BaseModel):
    """How recordings become segments and log-mel features; immutable, hashable, compared by value.

    A recording is read as mono at ``sample_rate``, z-normalized as a whole, cut into consecutive segments of
    ``segment_seconds``, and each segment becomes a log-mel spectrogram (see ``LogMel``).

    Attributes:
        sample_rate: rate to which recordings are resampled, in Hz.
        segment_seconds: length of a segment, in seconds; at least one FFT window.
        n_fft: length of an FFT window, in samples at ``sample_rate``.
        hop_length: distance of spectrogram frames, in samples at ``sample_rate``; at most ``n_fft``.
        n_mels: number of mel bins, evenly spaced from 0 Hz to the Nyquist frequency; at most ``n_fft // 2 + 1``.
        eps: power added to every mel bin before the logarithm; silence is ``10 * log10(eps)`` dB.
        compat: the program whose way of filling the last segment is reproduced, see ``segments``; "" for none. It is
            meant for comparisons only.

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
    def segment_samples(self) -> int:
        """Number of samples of a segment."""
        return round(self.segment_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Number of spectrogram frames of a segment."""
        return 1 + self.segment_samples // self.hop_length

    def log_mel(self, dtype: "torch.dtype | None" = None) -> "LogMel":
        """Return the torch module that computes the features of waveforms on any device.

        Args:
            dtype: of the module's buffers; float32 if None.
        """
        import torch  # not needed to prepare recordings

        from fewshot_audio.audio.features import LogMel

        return LogMel(self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.eps, dtype or torch.float32)

    def load(self, path: str | Path) -> Samples:
        """Read and z-normalize a recording.

        Returns:
            Samples (samples,), float32.

        Raises:
            Rejected: as ``decode`` and ``normalize`` raise it; names the file.
        """
        try:
            return self.normalize(decode(Path(path), self.sample_rate).samples)
        except Rejected as error:
            raise Rejected(error.reason, f"{path}: {error.detail}") from error

    def normalize(self, samples: Samples, floor: float = 0.0) -> Samples:
        """Shift and scale a whole recording (samples,) to mean 0 and standard deviation 1.

        Args:
            samples: the recording.
            floor: the standard deviation below which it is silent, as ``decode.Level`` has it.

        Raises:
            Rejected: the recording is shorter than one FFT window, is silent (all samples equal, or below ``floor``),
                or holds NaN or infinite samples.
        """
        if len(samples) < self.n_fft:
            length = f"{len(samples)} samples at {self.sample_rate} Hz"
            raise Rejected(Reason.TOO_SHORT, f"{length}, expected at least {self.n_fft} (one FFT window)")
        low, high = samples.min(), samples.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise Rejected(Reason.NON_FINITE, "NaN or infinite samples")
        if low == high:
            raise Rejected(Reason.SILENT, f"every sample is {low:g}")
        mean = samples.mean(dtype=np.float64)
        starts = range(0, len(samples), _BLOCK)
        squares = (np.square(samples[s : s + _BLOCK] - mean).sum() for s in starts)
        deviation = np.sqrt(sum(squares) / len(samples))
        if deviation < floor:
            raise Rejected(Reason.SILENT, f"{20 * np.log10(deviation):.0f} dBFS, below {20 * np.log10(floor):.0f} dBFS")
        normalized = np.empty(len(samples), dtype=np.float32)
        for s in starts:
            normalized[s : s + _BLOCK] = (samples[s : s + _BLOCK] - mean) / deviation
        return normalized

    def segments(self, waveform: Samples) -> Samples:
        """Cut a waveform into consecutive segments, at least one.

        The remainder after the last full segment is repeated to the length of a segment, and so is a clip shorter than
        a segment. A remainder shorter than one FFT window after a full segment is dropped, just as a clip that short
        is rejected.

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
        whole = len(waveform) // length
        full, rest = waveform[: whole * length].reshape(whole, length), waveform[whole * length :]
        if whole == self.segment_count(len(waveform)):
            return full
        return np.concatenate([full, self._fill(waveform, rest)[None]])

    def segment_count(self, samples: int) -> int:
        """Number of segments into which ``segments`` cuts so many samples, at least one."""
        whole, rest = divmod(samples, self.segment_samples)
        return whole + (rest > 0 and not (whole > 0 and rest < self.n_fft and not self.compat))

    def _fill(self, waveform: Samples, rest: Samples) -> Samples:
        """Return the last segment, of a remainder that is the whole waveform if that is shorter than a segment."""
        length = self.segment_samples
        times = -(-length // len(rest))
        match self.compat:
            case "":
                return np.resize(rest, length)
            case "metaaudio-training":
                return np.resize(waveform[:length], length)
            case "authors-waveforms":
                return np.repeat(waveform[: -(-length // times)], times)[:length]
            case "metaaudio" if len(rest) < len(waveform):
                return waveform[:length]
            case _:
                return np.repeat(rest, times)[:length]

    def features(self, segments: Samples) -> Samples:
        """Compute log-mel spectrograms in dB, in float64, rounded to float32.

        Shape:
            (segments, segment_samples) -> (segments, n_mels, frames).
        """
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
    for details in error.errors():
        key = ".".join(map(str, details["loc"]))
        value = "" if details["type"] in ("json_invalid", "value_error") else f" (found {details['input']!r})"
        problems.append(f"{key + ': ' if key else ''}{details['msg'].removeprefix('Value error, ')}{value}")
    return f"{origin}: {'; '.join(problems)}"
