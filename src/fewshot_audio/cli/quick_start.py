"""Commands that start quickly: a graph of the network takes the place of torch, and is built for later if missing."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewshot_audio.recognition.recognizer import Recognizer


def load_quickly(bundle: Path, device: str) -> "Recognizer":
    """Read a bundle, without torch if that is possible."""
    from fewshot_audio.recognition.recognizer import Recognizer

    return Recognizer.load(bundle, device, backend="auto")


def prepare_quick_start(bundle: Path, recognizer: "Recognizer") -> None:
    """Begin to build the graph of a bundle that torch has answered by on the CPU; this command does not wait for it."""
    if recognizer.embedder.backend == "torch" and recognizer.embedder.device == "cpu":
        from fewshot_audio.recognition.graph_building import build_in_background

        build_in_background(bundle)
