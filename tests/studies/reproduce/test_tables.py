"""Tables read back as what went in."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.studies.tables import latex_table, markdown_table

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


def test_markdown_cells_cannot_break_the_table() -> None:
    table = markdown_table(["a", "b"], [["x | y", "two\nlines"]])
    assert table == "| a | b |\n| --- | --- |\n| x \\| y | two lines |\n"


def test_latex_escapes_what_is_special() -> None:
    table = latex_table(["name", "a_b"], [["5 % & #1", "80.1 ± 0.4"]])
    assert table.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"name & a\_b \\",
        r"\midrule",
        r"5 \% \& \#1 & 80.1 $\pm$ 0.4 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.fixed_dictionaries({"a": CELLS, "b": CELLS}), min_size=1, max_size=4))
def test_csv_comes_back(rows: list[dict[str, str]]) -> None:
    assert list(csv.DictReader(io.StringIO(csv_table(["a", "b"], rows)))) == rows
