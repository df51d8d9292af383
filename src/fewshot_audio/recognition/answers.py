"""Answers as tables: a list of them, or a recording's events, as rows for a data frame."""

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from fewshot_audio.errors import ConfigError
from fewshot_audio.recognition.enrolled import Classification

Row = dict[str, Any]


class Answers(list[Classification]):
    """The answers for some clips, a list in their order.

    Attributes:
        names: of the clips.
    """

    def __init__(self, answers: Iterable[Classification], names: Sequence[str]) -> None:
        super().__init__(answers)
        self.names = list(names)

    def to_rows(self) -> list[Row]:
        """A dict for each clip: clip, label, best, unknown_score, segments, and ``p(CLASS)`` of every class."""
        return [
            {
                "clip": name,
                "label": answer.label,
                "best": answer.best,
                "unknown_score": answer.unknown_score,
                "segments": answer.segments,
                **probability_columns(answer.probabilities),
            }
            for name, answer in zip(self.names, self, strict=True)
        ]

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame. Raises ConfigError if pandas is not installed."""
        return frame(self.to_rows())


def probability_columns(probabilities: dict[str, float]) -> Row:
    """A column ``p(CLASS)`` for each class."""
    return {f"p({name})": probability for name, probability in probabilities.items()}


def frame(rows: list[Row]) -> Any:
    """Rows as a pandas DataFrame. Raises ConfigError if pandas is not installed."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ConfigError("to_frame needs pandas: pip install pandas; or take to_rows, a list of dicts") from error
    return pandas.DataFrame(rows)
