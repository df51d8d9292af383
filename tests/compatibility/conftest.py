"""The fixtures of version 0.1, copied where they may be written to, and the command line as a shell calls it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.shell import _logging, shell  # noqa: F401 - fixtures

V0_1 = Path(__file__).parents[1] / "fixtures" / "v0.1"

RETIRED = {"learn_score_scale": False, "way_schedule": [], "input_augmentation.mix": 0.0} | {
    f"{encoder}.in_channels": 1 for encoder in ("CNN", "Hybrid", "ResNet12")
}
"""Keys that no version after 0.1 has, and their defaults. Pooling by "attention" is gone, too."""


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root with the old dataset folders. Shared: stores are packed in it, else it is not to be changed."""
    return shutil.copytree(V0_1 / "dataset", tmp_path_factory.mktemp("old") / "dataset")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old experiments' folders. Shared: not to be changed."""
    return shutil.copytree(V0_1 / "runs", tmp_path_factory.mktemp("old") / "runs")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def american(value: Any) -> Any:
    """The value in the spelling that later versions may answer in; 0.1 spelled some names the British way."""
    if isinstance(value, dict):
        return {american(key): american(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [american(entry) for entry in value]
    return value.replace("centre", "center").replace("normalis", "normaliz") if isinstance(value, str) else value


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; objects in lists are numbered."""
    if isinstance(value, list | tuple) and any(isinstance(entry, dict) for entry in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return {prefix[:-1]: value}
    return {name: leaf for key, entry in value.items() for name, leaf in leaves(entry, f"{prefix}{key}.").items()}


def assert_holds(actual: Any, expected: Any, rel: float = 1e-6, abs: float = 1e-6) -> None:
    """Check that everything expected is found, but for retired keys at their defaults. Numbers are close.

    What is found beside it, a later version added.
    """
    actual, expected = leaves(american(actual)), leaves(american(expected))
    expected = {key: value for key, value in expected.items() if not _is_retired(key, value)}
    assert not expected.keys() - actual.keys()
    wrong = {
        key: (actual[key], value)
        for key, value in expected.items()
        if not (actual[key] == pytest.approx(value, rel=rel, abs=abs) if _numbers(value) else actual[key] == value)
    }
    assert not wrong, f"found, expected: {wrong}"


def _is_retired(key: str, value: Any) -> bool:
    return any(f".{key}".endswith(f".{name}") and value == default for name, default in RETIRED.items())


def _numbers(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
