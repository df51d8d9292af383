"""Conditions: what they mean is checked against Python on random rows; what they cannot say is refused by position."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.archive.columns import Columns
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.where import parse_condition
from fewshot_audio.errors import DataError
from tests.archive.indexes import DESCRIPTION, WIDTH, recording, write_index

Row = dict[str, Any]
Predicate = Callable[[Row], bool]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder, random = tmp_path_factory.mktemp("index") / "index", np.random.default_rng(0)
    recordings = []
    for number in range(30):
        moment = datetime(2024, 2, 28, 20) + timedelta(seconds=int(random.integers(3 * 86400)))
        time = moment.isoformat() if number % 4 else ""
        recordings.append(recording(f"{number}.wav", int(random.integers(0, 5)), time=time, site="AB"[number % 2]))
    rows = np.ones((sum(r.windows for r in recordings), WIDTH), np.float16)
    write_index(folder, recordings, rows)
    lines = [f"{n}.wav,{n % 7 if n % 3 else ''},{'its' if n % 2 else 'x'}" for n in range(0, 30, 2)]
    (folder / "metadata.csv").write_text("file,depth,note\n" + "\n".join(lines) + "\n")
    return Index(folder)


@pytest.fixture(scope="module")
def rows(index: Index) -> list[Row]:
    """Each window as Python sees it; None where a value is missing."""
    rows = []
    for window in range(len(index)):
        own, start, end = index.times(window)
        number = int(own.file.split(".")[0])
        begin = datetime.fromisoformat(own.time) + timedelta(seconds=int(start)) if own.time else None
        in_table = number % 2 == 0
        rows.append(
            {
                "file": own.file,
                "site": own.site,
                "time": own.time or None,
                "recorder": None,
                "start": start,
                "end": end,
                "seconds": own.samples / DESCRIPTION.rate,
                "hour": begin and begin.hour,
                "day": begin and begin.day,
                "month": begin and begin.month,
                "date": begin and begin.date().isoformat(),
                "depth": number % 7 if in_table and number % 3 else None,
                "note": "x" if in_table else None,
            }
        )
    return rows


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
TEXTS = {"site": ["A", "B", "a'b"], "date": ["2024-02-29", "2024-03-01"], "note": ["x", ""], "time": ["2024-03-01"]}
NUMBERS = {"hour": (0, 23), "start": (0, 3), "day": (1, 31), "month": (2, 3), "depth": (0, 7), "seconds": (0, 4)}


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Predicate]:
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(TEXTS)))
        values: list[Any] = draw(st.lists(st.sampled_from(TEXTS[name]), min_size=2, max_size=3))
        shown = ["'" + value.replace("'", "''") + "'" for value in values]
    else:
        name = draw(st.sampled_from(sorted(NUMBERS)))
        values = draw(st.lists(st.integers(*NUMBERS[name]).map(lambda n: n / 2), min_size=2, max_size=3))
        shown = [f"{value:g}" for value in values]
    kind = draw(st.sampled_from(["compare", "between", "in", "missing"]))
    negated = draw(st.booleans())
    word = "NOT " if negated else ""
    if kind == "compare":
        sign = draw(st.sampled_from(sorted(OPERATORS)))
        return f"{name}{sign} {shown[0]}", lambda row: row[name] is not None and OPERATORS[sign](row[name], values[0])
    if kind == "between":
        inside: Predicate = lambda row: row[name] is not None and values[0] <= row[name] <= values[1]  # noqa: E731
        return f"{name} {word}between {shown[0]} and {shown[1]}", lambda row: inside(row) != negated
    if kind == "in":
        return f"{name} {word}in ({', '.join(shown)})", lambda row: (row[name] in values) != negated
    return f"{name} is {word}missing", lambda row: (row[name] is None) != negated


def joined(parts: st.SearchStrategy[tuple[str, Predicate]]) -> st.SearchStrategy[tuple[str, Predicate]]:
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda p: (f"({p[0][0]}) and ({p[1][0]})", lambda row: p[0][1](row) and p[1][1](row))),
        pairs.map(lambda p: (f"({p[0][0]}) or ({p[1][0]})", lambda row: p[0][1](row) or p[1][1](row))),
        parts.map(lambda p: (f"not ({p[0]})", lambda row: not p[1](row))),
    )


@given(st.recursive(comparisons(), joined, max_leaves=6))
@settings(max_examples=200, deadline=None)
def test_a_condition_means_what_python_means(index: Index, rows: list[Row], condition: tuple[str, Predicate]) -> None:
    text, holds = condition
    assert Columns(index).where(text).tolist() == [bool(holds(row)) for row in rows]


def test_and_binds_more_than_or(index: Index, rows: list[Row]) -> None:
    text = "site = 'A' or site = 'B' and start > 0 and not hour between 4 and 8"
    expected = [
        row["site"] == "A" or (row["start"] > 0 and not (row["hour"] is not None and 4 <= row["hour"] <= 8))
        for row in rows
    ]
    assert Columns(index).where(text).tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "position 1: the end, expected the name of a column"),
        ("hour", "position 5: the end, expected =, !="),
        ("hour = ", "position 8: the end, expected a number, or a text in quotes"),
        ("hour = A", "position 8: 'A', expected a number, or a text in quotes"),
        ("hour between 4 or 8", "position 16: 'or', expected and"),
        ("(hour = 4", "position 10: the end, expected )"),
        ("hour = 4 hour = 5", "position 10: 'hour', expected and, or, or the end"),
        ("site = 'A", "position 8: a text that does not end"),
        ("hour = 4; drop", "position 9: ';' has no meaning"),
        ("__import__('os') = 1", "position 11: '(', expected =, !="),
        ("hour = 'x'", "position 1: column hour holds numbers, but is compared with the text 'x'"),
        ("site = 4", "position 1: column site holds text: write 4 in quotes"),
        ("start > 0 and sites = 'A'", "position 15: no column 'sites' (nearest: site)"),
        ("zzzzqq = 1", "position 1: no column 'zzzzqq' (columns: file, site"),
        ("not " * 60 + "hour = 1", "more than 50 conditions within each other"),
        ("hour in (" + "1," * 2000 + "1)", "more than 1000 values"),
        ("x" * 10_001, "10001 signs"),
    ],
)
def test_what_is_no_condition_is_refused_by_position(index: Index, text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        Columns(index).where(text)


@given(st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    with suppress(DataError):
        parse_condition(text)
