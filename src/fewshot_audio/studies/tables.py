"""Tables of results as files: Markdown to read, CSV to compute with, LaTeX for the paper."""

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
    """Return a Markdown table; bars and line breaks inside cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(map(_markdown_cell, line)) + " |\n" for line in lines)


def latex_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX ``tabular`` (with booktabs' rules), first column left, the others right."""
    lines = [" & ".join(map(_latex_cell, line)) + r" \\" for line in (columns, *rows)]
    body = [r"\begin{tabular}{l" + "r" * (len(columns) - 1) + "}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", ""])


def csv_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of equal keys as CSV, the numbers in full; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _latex_cell(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(character, character) for character in " ".join(text.split()))
