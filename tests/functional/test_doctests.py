"""The examples in docstrings do what they say."""

import doctest
from types import ModuleType

import pytest

from fewshot_audio.audio import preprocessing
from fewshot_audio.functional import losses, prototypes, vote


@pytest.mark.parametrize("module", [losses, preprocessing, prototypes, vote], ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
