"""Fixtures of several packages."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.plugins import VARIABLE
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def _single_thread() -> None:
    """Tests run side by side, one a core; more threads would wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _plugins() -> Iterator[None]:
    """Undo the naming of packages, which a command leaves to the processes that it starts."""
    before = os.environ.get(VARIABLE)
    yield
    os.environ.pop(VARIABLE, None)
    if before is not None:
        os.environ[VARIABLE] = before


@pytest.fixture(scope="session", autouse=True)
def _torch_only() -> Iterator[None]:
    """Commands neither use graphs of the user's cache nor build some; tests of graphs have a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_AUDIO_BACKEND", "torch")
        yield


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root with the dataset folder ``Tiny`` (``tests.tiny``). Shared: not to be changed."""
    root = tmp_path_factory.mktemp("data")
    tiny.write_tiny_dataset(root)
    return root


@pytest.fixture(scope="session")
def tiny_configs() -> Callable[..., tuple[ExperimentConfig, ModelConfig]]:
    """``tests.tiny.tiny_configs``: configs of a scenario that fit the tiny dataset."""
    return tiny.tiny_configs
