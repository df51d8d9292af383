"""How recordings are answered; needs no heavy import."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["torch", "auto"]
"""What computes embeddings: torch; or onnxruntime if a graph of the network is at hand, and torch otherwise."""


@dataclass(frozen=True)
class ScanOptions:
    """How recordings are answered.

    Args:
        hop: seconds from the start of a window, which is a segment long, to that of the next; None answers a
            recording as one clip.
        threshold: probability of the best class below which the answer is "unknown".
        strict: whether a recording of which a part cannot be decoded is refused, and not answered by the rest.
    """

    hop: float | None = None
    threshold: float = 0.0
    strict: bool = False
