"""Few-shot audio classification: learn to recognize sounds from a handful of examples."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_audio.recognition.recognizer import Recognizer

__all__ = ["Recognizer", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the recognizer, and torch with it, only when it is asked for."""
    if name != "Recognizer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fewshot_audio.recognition.recognizer import Recognizer

    return Recognizer
