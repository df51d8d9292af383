"""What each command imports: nothing heavy that it does not use, because people wait for it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.recognition.bundle.graph import VARIABLE
from tests.recognition import recognizers
from tests.tiny import NAME

HEAVY = frozenset(
    {
        "torch",
        "lightning",
        "onnxruntime",
        "onnx",
        "onnxscript",
        "av",
        "fastapi",
        "uvicorn",
        "scipy",
        "sklearn",
        "pandas",
    }
    | {"matplotlib", "jinja2", "optuna", "sqlalchemy", "dask", "distributed", "transformers", "tensorboard", "joblib"}
    | {"httpx", "mlflow", "wandb"}
)
COMMAND = """
import sys
from fewshot_audio.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""
SERVER = f"""
import uvicorn
uvicorn.Server.run = lambda self, sockets: None
{COMMAND}
"""
BUILD = """
import sys
from pathlib import Path
from fewshot_audio.recognition.graph_building import build
assert build(Path(sys.argv[1]))
"""

Imports = Callable[..., set[str]]


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    """The heavy packages that a command imports in a process of its own; with ``graphs`` it may use them."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    environment["FEWSHOT_AUDIO_DATA_ROOT"] = str(tmp_path)

    def run(*arguments: object, graphs: bool = False, code: str = COMMAND) -> set[str]:
        own = {name: value for name, value in environment.items() if name != VARIABLE or not graphs}
        line = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.run(line, capture_output=True, text=True, env=own, check=False, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
        return set(process.stdout.rpartition("imported:")[2].split()) & HEAVY

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    recognizers.recognizer().save(folder)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "clip.wav", recognizers.sound(0, 50), 16_000)
    return tmp_path / "clip.wav"


def test_commands_for_a_bundle_start_without_torch(imports: Imports, bundle: Path, clip: Path) -> None:
    """Once its graph is there; before that, and with the variable, torch answers."""
    assert imports("classify", bundle, clip) == {"torch"}
    imports(bundle, graphs=True, code=BUILD)
    assert imports("classify", bundle, clip, graphs=True) == {"onnxruntime"}
    assert imports("classify", bundle, clip, "--hop", 0.5, "--format", "csv", graphs=True) == {"onnxruntime"}
    assert imports("enroll", bundle, "--add", "new", clip, graphs=True) == {"onnxruntime"}
    served = imports("serve", bundle, "--port", 0, graphs=True, code=SERVER)
    assert {"onnxruntime", "fastapi", "uvicorn"} <= served <= {"onnxruntime", "fastapi", "uvicorn", "av"}


def test_a_fitted_head_answers_without_the_library_that_fits_it(imports: Imports, tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "fitted"
    recognizers.recognizer(head="both").save(folder)
    imports(folder, graphs=True, code=BUILD)
    assert imports("classify", folder, clip, graphs=True) == {"onnxruntime"}
    added = imports("enroll", folder, "--add", recognizers.CLASSES[0], clip, graphs=True)
    assert {"onnxruntime", "sklearn"} <= added <= {"onnxruntime", "sklearn", "scipy", "joblib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("configs", "--dataset", "esc50", "--scenario", 1, "-o", "configs"),
        ("download", "esc50", "--help"),
        ("info",),
    ],
)
def test_commands_that_compute_nothing_import_nothing_heavy(
    imports: Imports, arguments: tuple[object, ...], tiny_dataset: Path
) -> None:
    root = (tiny_dataset / NAME,) if arguments == ("info",) else ()
    assert imports(*arguments, *root) == set()


def test_preparing_needs_no_torch(imports: Imports, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "source" / f"class {number // 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.normal(size=16_000), 16_000)
    words = (
        "prepare",
        "folder",
        "--source",
        tmp_path / "source",
        "--data-root",
        tmp_path / "data",
        "--workers",
        1,
        "--way",
        2,
    )
    assert imports(*words) <= {"joblib"}
