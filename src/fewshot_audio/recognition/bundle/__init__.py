"""Bundles: the folder that a recognizer is saved in, two files of tensors and one of JSON."""

from pathlib import Path

MODEL_FILE, SUPPORT_FILE, BUNDLE_FILE = "model.safetensors", "support.safetensors", "recognizer.json"


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a recognizer's description."""
    return (folder / BUNDLE_FILE).is_file()
