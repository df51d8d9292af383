"""The words of messages: lists of names, and numbers with their nouns."""

import pytest

from fewshot_audio.errors import format_names, on_one_line, plural


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "file", "2 files"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
    ],
)
def test_a_number_has_its_noun(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert format_names(["a", "b"], 2) == "a, b"
    assert format_names(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3.45\u202fPM", r"3.45\u202fPM"),
        ("tab\tline\nend", r"tab\tline\nend"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\u202egnp.wav", r"\u202egnp.wav"),
        ("m\udce9sange", r"m\xe9sange"),
        ("\ud800", r"\ud800"),
        ("\x1b[31m", r"\x1b[31m"),
    ],
)
def test_what_a_line_cannot_show_is_escaped(text: str, shown: str) -> None:
    assert on_one_line(text) == shown


@pytest.mark.parametrize("text", ["mésange", "鳥 (2)", "کبک\u200cدری", "\U0001f469\u200d\U0001f52c", "a\\b"])
def test_what_people_read_is_shown_as_it_is(text: str) -> None:
    assert on_one_line(text) == text
