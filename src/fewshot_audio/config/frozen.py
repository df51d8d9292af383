"""Names of frozen encoders in ``encoder_name``: what an experiment trains its layers on instead of spectrograms."""

from pathlib import Path
from typing import Any

ONNX_FILE, TFLITE_FILE, RUN = "onnx:", "tflite:", "run:"
"""Prefixes of a file with its description beside it, and of the folder of a trained run."""

PREFIXES = (ONNX_FILE, TFLITE_FILE, RUN)
"""What stands before the paths of frozen encoders."""

PACKAGED_NAMES = ("yamnet", "ge2e", "birdnet", "speech-embedding", "livekit-speech")
"""Encoders that packages bring, by the names that `fewshot-audio encoders list` gives them."""

MOST_ENCODERS = 8


def is_frozen(name: str) -> bool:
    """Whether a name is that of a frozen encoder."""
    return name.startswith(PREFIXES) or name in PACKAGED_NAMES


def frozen_references(encoder_name: Any) -> tuple[str, ...]:
    """The frozen encoders that an ``encoder_name`` stands for, in its order; none if it names another encoder."""
    names = encoder_name if isinstance(encoder_name, list) else [encoder_name]
    return tuple(names) if all(isinstance(name, str) and is_frozen(name) for name in names) else ()


def name_problem(encoder_name: list[str]) -> str | None:
    """What is wrong with a list of encoders; None if nothing is."""
    if not 1 <= len(encoder_name) <= MOST_ENCODERS:
        return f"expected 1 to {MOST_ENCODERS} encoders"
    if len(set(encoder_name)) < len(encoder_name):
        return "an encoder is named twice"
    strange = [name for name in encoder_name if not is_frozen(name)]
    if strange:
        names = ", ".join(map(repr, PACKAGED_NAMES))
        files = f"'{ONNX_FILE}<file>', '{TFLITE_FILE}<file>' or '{RUN}<run folder>'"
        return f"{strange[0]!r} cannot stand in a list: expected {names}, {files}"
    return next((f"expected a path after {name!r}" for name in encoder_name if name in PREFIXES), None)


def located(encoder_name: Any, folder: Path) -> Any:
    """An ``encoder_name`` as it stands in a file in ``folder``, with the paths in it relative to that folder."""
    if isinstance(encoder_name, list):
        return [located(name, folder) for name in encoder_name]
    for prefix in PREFIXES:
        if isinstance(encoder_name, str) and encoder_name.startswith(prefix) and encoder_name != prefix:
            return f"{prefix}{(folder / encoder_name.removeprefix(prefix)).absolute()}"
    return encoder_name


def in_words(encoder_name: str | list[str]) -> str:
    """An ``encoder_name`` as text: a list as its encoders side by side."""
    return encoder_name if isinstance(encoder_name, str) else " + ".join(encoder_name)
