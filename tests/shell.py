"""The command line in this process, as a shell calls it; conftest files import the fixtures."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fewshot_audio.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a shell sees of a command."""

    code: Any
    out: str
    err: str


Shell = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Undo the logging that a command sets up."""
    loggers = [logging.getLogger(name) for name in (None, "fewshot_audio", "lightning", "lightning.pytorch")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


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
