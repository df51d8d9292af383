"""Running commands in this process, as a shell would."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.cli import main
from fewshot_audio.files import write_json
from tests.tiny import tiny_configs


@dataclass(frozen=True)
class Outcome:
    """What a shell sees of a command."""

    code: Any
    out: str
    err: str


Shell = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Give back the logging that a command sets up."""
    loggers = [logging.getLogger(name) for name in (None, "fewshot_audio")]
    levels = [logger.level for logger in loggers]
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run ``fewshot-audio`` with arguments."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(stop.value.code or 0, captured.out, captured.err)

    return run


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
