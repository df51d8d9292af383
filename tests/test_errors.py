"""The words of messages: lists of names, and numbers with their nouns."""

import pytest

from fewshot_audio.errors import format_names, plural


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
