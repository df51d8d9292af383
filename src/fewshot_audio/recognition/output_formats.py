"""The output formats of ``classify`` by name: the built-in ones, and those of packages from outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fewshot_audio.config.registry import Part, Registry
from fewshot_audio.recognition.results import FileResult

F = TypeVar("F", bound=type["OutputFormat"])


@dataclass(frozen=True)
class FormatOptions:
    """What a format may need beside the answers.

    Attributes:
        top: number of classes to list with their probabilities.
        sample_rate: the recognizer's, Hz.
        excel: whether the text is for a spreadsheet: marked as UTF-8, and nothing in it is computed.
    """

    top: int = 3
    sample_rate: int = 16_000
    excel: bool = False


class OutputFormat(Protocol):
    """Writes answers as text; made without arguments."""

    extension: str
    """Of the file of each recording, such as ".labels.txt"; "" if one text holds all recordings."""

    def text(self, results: Sequence[FileResult], options: FormatOptions) -> str:
        """The answers as text; with an ``extension`` those of one recording."""


_MODULE = "fewshot_audio.recognition.formats"
OUTPUT_FORMATS = Registry(
    "output format",
    [
        Part("table", None, f"{_MODULE}:Table"),
        Part("json", None, f"{_MODULE}:Json"),
        Part("jsonl", None, f"{_MODULE}:JsonLines"),
        Part("csv", None, f"{_MODULE}:Csv"),
        Part("raven", None, f"{_MODULE}:Raven"),
        Part("audacity", None, f"{_MODULE}:Audacity"),
    ],
    members=("extension", "text"),
)


def register_output_format(name: str | None = None) -> Callable[[F], F]:
    """A decorator that registers a class from outside, which is an ``OutputFormat``, as a format of ``classify``.

    Args:
        name: by which ``--format`` may call it, beside "module:Class"; default: its own name.

    Raises:
        ConfigError: it lacks something, or another format has the name.
    """
    return OUTPUT_FORMATS.register(name=name)
