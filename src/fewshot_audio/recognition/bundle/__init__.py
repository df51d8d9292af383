"""Bundles: the folder that a recognizer is saved in, one file of JSON, two of tensors, and what else is kept.

``recognizer.json`` is replaced last and atomically: it is the commit point. Files of tensors are named by their
content, so that a new state never overwrites a file that the former one needs.
"""

import re
from pathlib import Path
from typing import Literal

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.kept_audio import AUDIO_FILE

BUNDLE_FILE, LOCK_FILE = "recognizer.json", ".recognizer.lock"
Role = Literal["model", "support"]
ROLES: tuple[Role, ...] = ("model", "support")
OWN_FILE = re.compile(
    rf"({'|'.join(ROLES)})-[0-9a-f]{{16}}\.safetensors|encoder-[0-9a-f]{{16}}\.onnx|{AUDIO_FILE.pattern}"
)


class BundleChanged(DataError):
    """Another program has written a bundle since it was read or written here."""


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a recognizer's description."""
    return (folder / BUNDLE_FILE).is_file()


def tensor_file(role: Role, digest: str) -> str:
    """Name of a file of tensors by the SHA-256 of its content."""
    return f"{role}-{digest[:16]}.safetensors"


def encoder_file(digest: str) -> str:
    """Name of the file of a frozen encoder by the SHA-256 of its content."""
    return f"encoder-{digest[:16]}.onnx"


def former_file(role: Role) -> str:
    """Name of a file of tensors in format 1."""
    return f"{role}.safetensors"
