"""Figures of matplotlib: made, written to files, and names as their labels."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any
from unicodedata import category, combining, east_asian_width

from fewshot_audio.errors import FewShotError, on_one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_LABEL = 32  # columns; a Chinese character takes two
_ELLIPSIS = "…"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches.

    Raises:
        FewShotError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FewShotError("pictures need matplotlib: pip install 'fewshot-audio[plots]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: "Figure", stream: IO[bytes], kind: str, dpi: float = 100) -> None:
    """Write a figure to an open file, without the time, so that equal figures give equal text.

    An SVG keeps text as text: the program that shows it has fonts for more scripts than matplotlib. The other formats
    show a box for a character without a glyph, so matplotlib's warning about it is left out.

    Args:
        figure: the figure.
        stream: where its bytes are written.
        kind: "png", "svg" or another format of matplotlib.
        dpi: dots per inch, of formats that have dots.
    """
    from matplotlib import rc_context

    options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {}
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        warnings.filterwarnings("ignore", r"Matplotlib currently does not support \w+ natively")
        figure.savefig(stream, format=kind, dpi=dpi, **options)


def plot_labels(names: Sequence[str]) -> list[str]:
    """Return each name as ``plot_label`` does; names that become equal get a number, "name (2)"."""
    labels = [plot_label(name) for name in names]
    counts, numbers = Counter(labels), Counter[str]()
    distinct = []
    for label in labels:
        numbers[label] += 1
        distinct.append(f"{label} ({numbers[label]})" if counts[label] > 1 else label)
    return distinct


def plot_label(name: str) -> str:
    """Return a name as matplotlib shows it letter by letter: on one line, the middle of a long name left out.

    A dollar sign begins no formula, and an underscore at the start (which matplotlib takes as "not in the legend")
    follows a blank.
    """
    text = _shorten(on_one_line(name)).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _shorten(text: str) -> str:
    """Leave out the middle of a text of more than ``LONGEST_LABEL`` columns: long names often differ at their end."""
    if sum(map(_columns, text)) <= LONGEST_LABEL:
        return text
    room = LONGEST_LABEL - len(_ELLIPSIS)
    start = _first_columns(text, math.ceil(room / 2))
    end = _first_columns(text[::-1], room // 2)[::-1]
    while end and not _columns(end[0]):  # an accent without its letter
        end = end[1:]
    return start.rstrip() + _ELLIPSIS + end.lstrip()


def _first_columns(text: str, columns: int) -> str:
    for length, character in enumerate(text):
        columns -= _columns(character)
        if columns < 0:
            return text[:length]
    return text


def _columns(character: str) -> int:
    """Columns that a character takes in a terminal, about its width in a plot."""
    if combining(character) or category(character) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
