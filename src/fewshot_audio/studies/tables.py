"""Tables of results: Markdown to read, CSV to compute with, LaTeX for a paper."""

import csv
import io
from collections.abc import Mapping, Sequence

LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; what would end a cell or begin an HTML tag is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(map(_markdown_cell, line)) + " |\n" for line in lines)


def latex_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX ``tabular`` with the rules of booktabs: the first column to the left, the others to the right."""
    lines = [" & ".join(map(_latex_cell, line)) + r" \\" for line in (columns, *rows)]
    body = [r"\begin{tabular}{l" + "r" * (len(columns) - 1) + "}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", ""])


def csv_table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV, numbers in full; a missing value and None are empty fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _latex_cell(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(character, character) for character in " ".join(text.split()))
