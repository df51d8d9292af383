"""Recognizers of tiny networks, and sounds to enroll."""

from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from fewshot_audio import Recognizer
from fewshot_audio.recognition.bundle.graph import VARIABLE
from fewshot_audio.recognition.graph_building import build
from fewshot_audio.recognition.onnx_embedder import OnnxEmbedder
from tests.recognition import sounds


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root with the dataset folder ``Tiny`` of ``sounds``. Shared: not to be changed."""
    root = tmp_path_factory.mktemp("recognition-data")
    sounds.write_dataset(root)
    return root


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run's folder of a model in ``sounds.MODELS``, written once."""
    root, folders = tmp_path_factory.mktemp("runs"), {}

    def make(name: str) -> Path:
        if name not in folders:
            scenario, changes = sounds.MODELS[name]
            folders[name] = sounds.write_run(root / name, changes, scenario)
        return folders[name]

    return make


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders: three classes of 4, 2 and 1 clips."""
    root = tmp_path_factory.mktemp("recordings")
    for number, takes in ((0, 4), (4, 2), (8, 1)):
        for take in range(takes):
            sounds.write_wav(root / f"class {number}" / f"{take}.wav", sounds.sound(number, 100 + take, 1 + take % 2))
    return root


@pytest.fixture(scope="session")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, run_of: Callable[[str], Path], data_root: Path, recordings: Path
) -> Path:
    """A calibrated recognizer of the plain model that knows the three classes. Shared: not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    enrolled(Recognizer.from_run(run_of("plain"), data_root=data_root), recordings).save(folder)
    return folder


@pytest.fixture(scope="session")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache, shared: graphs are built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def graphs(user_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Graphs are used and built, in ``user_cache``."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(user_cache / name))
    monkeypatch.delenv(VARIABLE)
    return user_cache


@pytest.fixture(params=["torch", "onnxruntime"])
def recognizer(request: pytest.FixtureRequest, bundle: Path, recordings: Path) -> Recognizer:
    """The recognizer of ``bundle`` in each back end, which has enrolled the clips, to be changed."""
    if request.param == "torch":
        return Recognizer.load(bundle)
    request.getfixturevalue("graphs")
    build(bundle)
    recognizer = Recognizer.load(bundle, backend="auto")
    assert isinstance(recognizer.embedder, OnnxEmbedder)
    for name in recognizer.classes:
        recognizer.remove(name)
    return enrolled(recognizer, recordings)


def enrolled(recognizer: Recognizer, recordings: Path) -> Recognizer:
    for folder in sorted(recordings.iterdir()):
        recognizer.enroll(folder.name, sorted(folder.iterdir()))
    return recognizer
