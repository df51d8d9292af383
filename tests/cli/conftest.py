"""Running commands in this process, as a shell would."""

import json
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.files import write_json
from tests.shell import _logging, shell  # noqa: F401 - fixtures
from tests.tiny import tiny_configs


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """``-e ... -m ...`` of a tiny experiment."""
    return write_pair(tmp_path)


def write_pair(folder: Path, **options: Any) -> list[object]:
    """Write a tiny pair of config files and return the arguments that name them."""
    paths = folder / "experiment.json", folder / "model.json"
    for path, config in zip(paths, tiny_configs(**options), strict=True):
        write_json(path, config.model_dump())
    return ["-e", paths[0], "-m", paths[1]]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def timeless(value: Any) -> Any:
    """The value without the ``seconds`` anywhere in it."""
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key != "seconds"}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value
