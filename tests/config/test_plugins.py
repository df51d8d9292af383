"""Which packages the user has named."""

import os

import pytest

from fewshot_audio.config.plugins import VARIABLE, is_named, name_plugins, named_packages
from fewshot_audio.errors import ConfigError


def test_names_are_added_to_the_variable_which_processes_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, " one , two,")
    assert named_packages() == ["one", "two"]
    name_plugins(["three", "one"])
    assert os.environ[VARIABLE] == "one,two,three"
    assert is_named("three")
    assert not is_named("four")
    assert not is_named("")


def test_without_names_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    name_plugins([])
    assert named_packages() == []


@pytest.mark.parametrize("name", ["", "my_package.module", "my-package", "../package", "a,b", "package:Class", "1st"])
def test_only_top_level_packages_can_be_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "one")
    with pytest.raises(ConfigError, match="expected the name of a top-level package"):
        name_plugins(["two", name])
    assert named_packages() == ["one"]
