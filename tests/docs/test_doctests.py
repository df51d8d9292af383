"""The examples in docstrings do what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
EXAMPLE = re.compile(r"^ *>>> (?!.*# doctest: \+SKIP)", re.MULTILINE)
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted((SOURCE / "fewshot_audio").rglob("*.py"))
    if EXAMPLE.search(path.read_text(encoding="utf-8"))
]


def test_there_are_examples() -> None:
    assert {"fewshot_audio.functional.losses", "fewshot_audio.audio.preprocessing"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
