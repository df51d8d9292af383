"""The description of a bundle that anybody may have made, and its files of tensors as bytes: all is checked."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fewshot_audio.config import parse_json
from fewshot_audio.config.validation import retirement, unloaded
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.files import read_bounded
from fewshot_audio.recognition.bundle import BUNDLE_FILE, ROLES, Role, former_file, is_bundle
from fewshot_audio.recognition.bundle.schema import FORMAT, KIND, BundleDescription

LARGEST_JSON = 64 << 20  # bytes
LARGEST_INTEGER = 2**53  # beyond it JSON's numbers are not exact anyway

T = TypeVar("T")


def read_description(folder: Path) -> tuple[BundleDescription, str]:
    """Read and check ``recognizer.json``; returns it with its SHA-256.

    Raises:
        DataError: it is missing, damaged, of a later version, or holds what ``save_bundle`` does not write.
    """
    path = folder / BUNDLE_FILE
    if not is_bundle(folder):
        raise DataError(f"{folder}: not a recognizer's folder (it has no {BUNDLE_FILE})")
    content = read_bounded(path, LARGEST_JSON)
    values = explained(path, lambda: parse_json(content, str(path)))
    if values.get("kind") != KIND:
        raise DataError(f"{path}: not a recognizer (it should say kind {KIND!r})")
    number = values.get("format")
    if type(number) is not int:  # true is 1 for Python
        raise DataError(f"{path}: format is {number!r}, expected a number up to {FORMAT}")
    if number > FORMAT:
        raise DataError(f"{path}: format {number}, but this version of fewshot-audio reads up to {FORMAT}: upgrade it")
    explained(path, lambda: check_numbers(values))
    description = explained(path, lambda: BundleDescription.model_validate(values))
    names = {former_file(role) if description.format == 1 else role for role in ROLES}
    if description.sha256.keys() != names or (description.format == 1 and description.revision):
        raise DataError(f"{path}: sha256 has {sorted(description.sha256)}, expected {sorted(names)}")
    return description, hashlib.sha256(content).hexdigest()


def read_tensor_file(folder: Path, role: Role, description: BundleDescription, largest: int) -> tuple[Path, bytes]:
    """Read a file of tensors of at most ``largest`` bytes, whose SHA-256 is the description's; returns its path, too.

    Raises:
        DataError: it is missing, too large, or not that file.
    """
    name, digest = description.tensor_file(role)
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: missing")
    try:
        size = path.stat().st_size
        if size > largest:
            raise DataError(f"{path}: {size} bytes, expected at most {largest} for what {BUNDLE_FILE} describes")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: damaged, or of another recognizer (its SHA-256 is not the one in {BUNDLE_FILE})")
    return path, content


def check_numbers(value: Any, key: str = "") -> None:
    """Refuse integers that no description needs, anywhere in a JSON value.

    Raises:
        DataError: names the key.
    """
    if isinstance(value, dict):
        for name, part in value.items():
            check_numbers(part, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for part in value:
            check_numbers(part, key)
    elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise DataError(f"{key}: a number of {value.bit_length()} bits, expected at most {LARGEST_INTEGER}")


def explained(path: Path, work: Callable[[], T]) -> T:
    """Call ``work``; its errors name the file."""
    try:
        return work()
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        reason = retirement(BundleDescription, first) or f"{'.'.join(map(str, first['loc']))}: {message}"
        raise DataError(f"{path}: {reason}{unloaded(BundleDescription, first)}") from error
    except (ConfigError, DataError) as error:
        message = str(error)
        raise DataError(message if message.startswith(str(path)) else f"{path}: {message}") from error


def in_words(tensor: Any) -> str:
    """Type and shape of an array or tensor, for messages; None is "absent"."""
    return "absent" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")
