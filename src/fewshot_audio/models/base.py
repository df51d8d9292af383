"""The base class of the package's encoders, and how they read their options."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from fewshot_audio.config import validate
from fewshot_audio.config.model import EncoderConfig
from fewshot_audio.errors import ConfigError

C = TypeVar("C", bound=EncoderConfig)


class Encoder(nn.Module):
    """Embeds a batch of segments. An encoder from outside may also be any other module.

    Attributes:
        out_dim: width of an embedding.
        precision: arithmetic of the part that takes most of the time.
        sample_rate: rate of the waveforms that it reads, Hz; None if it reads normalized log-mel features.
    """

    out_dim: int
    precision: Literal["fp32", "bf16"] = "fp32"
    sample_rate: int | None = None


def read_options(section: type[C], options: Mapping[str, Any], encoder: str) -> C:
    """Read an encoder's keyword arguments as its section of the model file. Tuples are read as lists.

    Raises:
        ConfigError: one line for each that is unknown, or of another type or range.
    """
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    return validate(section, values, encoder)


def check_input(encoder: str, x: Tensor, n_mels: int, n_frames: int) -> None:
    """Raise a ValueError if spectrograms have another size than the encoder was made for."""
    if tuple(x.shape[1:]) != (n_mels, n_frames):
        raise ValueError(f"{encoder} got {tuple(x.shape)}, expected spectrograms (n, {n_mels}, {n_frames})")


def check_map(encoder: str, map_size: tuple[int, int], n_mels: int, n_frames: int) -> None:
    """Raise a ConfigError if poolings leave nothing of a segment."""
    if 0 in map_size:
        raise ConfigError(
            f"{encoder}: its poolings leave {map_size[0]} x {map_size[1]} of {n_mels} mel bins x {n_frames} frames, "
            "expected 1 x 1 or more"
        )
