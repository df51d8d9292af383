"""Frozen encoders that a bundle holds: used only once this user has allowed them by their digest."""

from pathlib import Path

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.models.frozen.check import CheckedEncoder, check_encoder
from fewshot_audio.recognition.bundle import encoder_file
from fewshot_audio.recognition.bundle.description import read_description


def check_embedded(folder: Path, name: str, allowed: str) -> CheckedEncoder:
    """Check an encoder that a bundle holds, in a bounded process.

    Args:
        folder: the bundle.
        name: of the encoder, as the bundle has it.
        allowed: the digest that the user trusts.

    Raises:
        DataError: the bundle cannot be read, or holds no such encoder.
        ConfigError: it is another one than the user trusts, or not usable.
    """
    section = read_description(folder)[0].encoders
    descriptions = {value.name: value for value in section.descriptions} if section and section.embedded else {}
    if name not in descriptions:
        raise DataError(f"{folder}: holds no encoder {name!r}; it holds {', '.join(descriptions) or 'none'}")
    description, path = descriptions[name], folder / encoder_file(descriptions[name].sha256)
    if description.digest != allowed:
        raise ConfigError(f"{folder}: the digest of {name!r} is {description.digest}, not {allowed}: not added")
    checked = check_encoder(description, path, "onnx")
    if checked.source_sha256 != description.sha256:
        raise ConfigError(f"{path}: its SHA-256 is not the one that the bundle says: not added")
    return checked
