"""Fixtures of the tests of downloads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.download_server import Server, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is asked without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with running() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file in a folder that does not exist yet."""
    return tmp_path / "deep" / "file.zip"
