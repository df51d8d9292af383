"""The description of a frozen encoder: a JSON file beside the file of its weights."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from fewshot_audio.audio.mel_front_end import MelSettings
from fewshot_audio.config import parse_json
from fewshot_audio.config.base import Positive, Section
from fewshot_audio.config.validation import validate
from fewshot_audio.errors import ConfigError
from fewshot_audio.files import read_bounded

LARGEST_JSON = 1 << 16  # bytes
MAX_RATE = 384_000
MAX_WIDTH = 1 << 16
MAX_INPUT = 1 << 24  # numbers in one window

UNKNOWN = "0" * 64
TFLITE = ".tflite"
"""How names of TFLite files end; all others are ONNX files."""

Axis: TypeAlias = Literal["one", "samples", "frames", "mels"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EncoderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Line = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
TensorName = Annotated[str, Field(min_length=1, max_length=1000)]
"""Any text: exporters put all signs into names of tensors."""


class Quantization(Section):
    """How numbers become the whole ones that the encoder reads: ``round(x / scale) + zero_point``, of 8 bits."""

    scale: Positive
    zero_point: Annotated[int, Field(ge=-128, le=255)]
    signed: bool = False


class EncoderDescription(Section):
    """What has to be known of a frozen encoder: how a waveform becomes its input, and which tensor is its output."""

    format: Literal[1] = 1
    name: EncoderName
    """The encoder's name."""
    file: Annotated[str, Field(pattern=r"^[\w][\w. -]{0,199}$")]
    """Name of the file of its weights, beside the description."""
    sha256: Digest = UNKNOWN
    """SHA-256 of that file; where a person writes the description it may be left out, and is filled in on adding."""
    sample_rate: Annotated[int, Field(ge=1000, le=MAX_RATE)]
    """Of the waveforms that it reads, Hz."""
    level: Positive = 0.1
    """Root mean square that a clip is brought to."""
    front_end: MelSettings | None = None
    """The mel spectrogram that it reads; without it, it reads waveforms."""
    takes: Literal["windows", "whole"] = "windows"
    """Windows of the same length, each giving a step; or a sound as a whole, giving many steps."""
    window: Annotated[int, Field(ge=1, le=MAX_INPUT)]
    """Length of a window in samples, or in frames of the front end; shorter sounds are filled up by zeros, also if
    they are taken as a whole."""
    hop: Annotated[int, Field(ge=1, le=MAX_INPUT)] = 1
    """From a window to the next, in the same unit."""
    input: TensorName
    """Name of the input tensor."""
    layout: Annotated[list[Axis], Field(min_length=1, max_length=6)]
    """Its axes: samples; or frames and mels; others have the length one."""
    quantization: Quantization | None = None
    """Of the input; without it the input is float32."""
    output: TensorName
    """Name of the output tensor."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    """Numbers of a step: the output is reshaped to (steps, width)."""
    pooling: Literal["mean", "max"] = "mean"
    """What is taken over the steps of a segment."""
    license: Line = ""
    """License of the weights."""
    source: Line = ""
    """Where the weights come from."""

    @model_validator(mode="after")
    def _check(self) -> "EncoderDescription":
        expected = ["frames", "mels"] if self.front_end else ["samples"]
        if sorted(axis for axis in self.layout if axis != "one") != expected:
            raise ValueError(f"layout is {self.layout}, expected {' and '.join(expected)} once each, and 'one'")
        if self.front_end and self.front_end.high > self.sample_rate / 2:
            raise ValueError(f"front_end.high is {self.front_end.high:g} Hz, expected at most half of the sample rate")
        if self.window * (self.front_end.n_mels if self.front_end else 1) > MAX_INPUT:
            raise ValueError(f"window: of more than {MAX_INPUT} numbers")
        return self

    @property
    def is_tflite(self) -> bool:
        """Whether its file is a TFLite file."""
        return self.file.endswith(TFLITE)

    def refusal(self, what: str) -> ConfigError:
        """The error of an encoder that is not usable."""
        return ConfigError(f"encoder {self.name!r} ({self.file}): {what}")

    @property
    def digest(self) -> str:
        """SHA-256 of all that determines the embeddings: the weights, and how they are used."""
        values = self.model_dump(exclude={"name", "file", "license", "source"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_description(path: Path) -> EncoderDescription:
    """Read a description. Raises ConfigError naming the file, and what is wrong in it."""
    content = read_bounded(path, LARGEST_JSON, ConfigError, "the description of an encoder")
    return validate(EncoderDescription, parse_json(content, str(path)), str(path))
