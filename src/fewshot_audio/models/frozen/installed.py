"""This user's encoders: a folder for each, with its description and its file."""

from collections.abc import Iterator
from pathlib import Path

import platformdirs

from fewshot_audio.errors import ConfigError, WriteError
from fewshot_audio.files import write_bytes, write_json
from fewshot_audio.models.frozen.check import CheckedEncoder
from fewshot_audio.models.frozen.description import TFLITE, EncoderDescription, read_description
from fewshot_audio.models.frozen.encoder import FrozenEncoder

DESCRIPTION, WEIGHTS = "encoder.json", "model"


def encoders_folder() -> Path:
    """Where this user's encoders are. Raises WriteError for a user without a home."""
    try:
        folder = Path(platformdirs.user_data_dir("fewshot-audio"))
    except RuntimeError as error:
        raise WriteError(f"no folder for this user's encoders: {error}") from error
    if not folder.is_absolute():  # former versions of platformdirs return "~/.local", which anybody may have put here
        raise WriteError(f"no folder for this user's encoders: {folder} depends on the current folder")
    return folder / "encoders"


def installed_encoders() -> dict[str, EncoderDescription]:
    """The descriptions of this user's encoders by name. Raises ConfigError if one is damaged."""
    return {description.name: description for description in _descriptions()}


def _descriptions() -> Iterator[EncoderDescription]:
    try:
        folder = encoders_folder()
    except WriteError:
        return
    for path in sorted(folder.glob(f"*/{DESCRIPTION}")):
        description = read_description(path)
        if description.name != path.parent.name:
            raise ConfigError(f"{path}: the name is {description.name!r}, expected {path.parent.name!r}, its folder's")
        yield description


def installed_encoder(name: str) -> EncoderDescription:
    """One of this user's encoders. Raises ConfigError saying how to get it if it is not there."""
    encoders = installed_encoders()
    if name not in encoders:
        names = ", ".join(encoders) or "none"
        raise ConfigError(
            f"encoder {name!r} is not installed (installed: {names}): `fewshot-audio encoders list` shows which there "
            "are, and how to add them"
        )
    return encoders[name]


def with_digest(digest: str) -> EncoderDescription | None:
    """This user's encoder of that digest; None if there is none."""
    return next((encoder for encoder in installed_encoders().values() if encoder.digest == digest), None)


def weights_file(description: EncoderDescription) -> Path:
    """The file of one of this user's encoders."""
    return encoders_folder() / description.name / description.file


def open_encoder(description: EncoderDescription) -> FrozenEncoder:
    """Open one of this user's encoders. Raises ConfigError if its file is missing, changed or not usable."""
    return FrozenEncoder.read(description, weights_file(description))


def install(encoder: CheckedEncoder, *, replace: bool = False) -> EncoderDescription:
    """Keep an encoder in this user's folder.

    Args:
        encoder: the encoder.
        replace: whether it may take the place of another one of the same name.

    Raises:
        ConfigError: there is another one of that name.
        WriteError: it cannot be written.
    """
    file = WEIGHTS + (TFLITE if encoder.description.is_tflite else ".onnx")
    description = encoder.description.model_copy(update={"file": file})
    former = installed_encoders().get(description.name)
    if former and former.digest != description.digest and not replace:
        raise ConfigError(
            f"another encoder is called {description.name!r} already (digest {former.digest}; the new one has "
            f"{description.digest}): --replace replaces it, and bundles that need it will no longer be read"
        )
    folder = encoders_folder() / description.name
    write_bytes(folder / file, encoder.content)
    write_json(folder / DESCRIPTION, description.model_dump(exclude_none=True))
    return description
