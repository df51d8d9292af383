"""A frozen encoder at work: from a waveform to steps."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.decode import resample_recording
from fewshot_audio.audio.mel_front_end import MelFrontEnd
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import ConfigError
from fewshot_audio.files import read_bounded
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.graph import MAX_FILE
from fewshot_audio.models.frozen.onnx_session import OnnxSession
from fewshot_audio.models.frozen.tflite import TfliteSession
from fewshot_audio.runtime.cores import usable_cores

LARGEST = 1e15
"""Steps with larger numbers are refused: squared distances between them would leave float32."""


class Session(Protocol):
    """A file's network, ready to compute."""

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Compute the described output of an input. Raises ConfigError if the network does not take it."""


class FrozenEncoder:
    """A frozen encoder.

    Steps of a sound do not depend, to the last bit, on other sounds.

    Args:
        description: says how a waveform becomes the input.
        content: of the file.

    Raises:
        ConfigError: the file is not usable, or not that of the description.
    """

    def __init__(self, description: EncoderDescription, content: bytes) -> None:
        self.description = description
        self._front_end = None
        if description.front_end:
            self._front_end = MelFrontEnd(description.front_end, description.sample_rate)
        self._session: Session = (TfliteSession if description.is_tflite else OnnxSession)(description, content)

    @classmethod
    def read(cls, description: EncoderDescription, path: Path) -> "FrozenEncoder":
        """Read an encoder's file, whose SHA-256 is the description's. Raises ConfigError."""
        return cls(description, read_weights(description, path))

    def steps(self, samples: Samples) -> Samples:
        """Embed a sound at the encoder's rate and level. Shape: (samples,) -> (steps, width), steps >= 1.

        Raises:
            ConfigError: the output is not finite, or not as described.
        """
        description = self.description
        values = self._front_end(samples) if self._front_end else samples
        if len(values) < description.window:
            values = np.concatenate([values, self._filling(description.window - len(values), values)])
        if description.takes == "whole":
            return self._run(values)
        starts = range(0, len(values) - description.window + 1, description.hop)
        windows = [values[start : start + description.window] for start in starts]
        if len(windows) == 1:
            return self._run(windows[0])
        with ThreadPoolExecutor(min(len(windows), usable_cores())) as threads:
            return np.concatenate(list(threads.map(self._run, windows)))

    def embed(self, samples: Samples, sample_rate: int) -> Samples:
        """Embed a part of a clip that was brought to the root mean square 1. Shape: (samples,) -> (width,), float32.

        Raises:
            ConfigError: as ``steps`` does.
        """
        rate = self.description.sample_rate
        own = samples if rate == sample_rate else resample_recording(samples, sample_rate, rate)
        steps = self.steps(own * np.float32(self.description.level))
        pooled: Samples = steps.max(axis=0) if self.description.pooling == "max" else steps.mean(axis=0)
        return pooled

    def _filling(self, count: int, values: Samples) -> Samples:
        """What stands for silence behind a short sound: zeros, or their spectrogram."""
        if self._front_end is None:
            return np.zeros(count, np.float32)
        silence = self._front_end(np.zeros(self._front_end.settings.n_fft, np.float32))[:1]
        return np.repeat(silence, count, axis=0)

    def _run(self, window: Samples) -> Samples:
        description, quantization = self.description, self.description.quantization
        sizes = {"one": 1, "samples": len(window), "frames": len(window), "mels": window.shape[-1]}
        axes = [axis for axis in description.layout if axis != "one"]
        shaped: Any = window.T if axes == ["mels", "frames"] else window
        shaped = np.ascontiguousarray(shaped).reshape([sizes[axis] for axis in description.layout])
        if quantization:
            kind = np.int8 if quantization.signed else np.uint8
            whole = np.rint(shaped / quantization.scale) + quantization.zero_point
            shaped = np.clip(whole, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
        output = self._session.run(shaped)
        steps = np.asarray(output, dtype=np.float32)
        if steps.size == 0 or steps.size % description.width:
            raise description.refusal(
                f"its output has shape {steps.shape}, expected steps of width {description.width}"
            )
        if not (np.abs(steps) <= LARGEST).all():  # NaN is not either
            raise description.refusal("its output is not finite or too large")
        return steps.reshape(-1, description.width)


def read_weights(description: EncoderDescription, path: Path) -> bytes:
    """The content of an encoder's file. Raises ConfigError if it is missing, too large or another one."""
    content = read_bounded(path, MAX_FILE, ConfigError)
    digest = hashlib.sha256(content).hexdigest()
    if digest != description.sha256:
        raise ConfigError(f"{path}: its SHA-256 is {digest}, but the description says {description.sha256}")
    return content
