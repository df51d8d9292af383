"""Ten thousand damaged bundles of each kind: every one is read, or refused in words, in a second and little memory."""

import functools
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from fewshot_audio import Recognizer
from tests.recognition import recognizers
from tests.soak.fuzzing import fuzz
from tests.soak.reliability import record

pytestmark = pytest.mark.soak

INPUTS = 10_000
JSON = "recognizer.json"
KINDS = {
    "plain": (1, {}),
    "views": (5, {}),
    "waveforms": (
        5,
        {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": True}
        | {f"waveaug_params.{name}_p": 0.0 for name in ("lowpass", "noise", "highpass", "bandstop")},
    ),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("bundles")
    for name, (scenario, changes) in KINDS.items():
        recognizers.recognizer(changes, scenario=scenario).save(root / name)
    return [root / name for name in KINDS]


def use(folder: Path) -> None:
    """Read a bundle and ask it; an answer has finite numbers only."""
    answer = Recognizer.load(folder).classify(recognizers.sound(0, 1), rate=16_000)[0]
    json.dumps([*answer.probabilities.values(), answer.unknown_score], allow_nan=False)


def test_descriptions(bundles: list[Path], tmp_path: Path) -> None:
    for bundle in bundles:
        folder = Path(shutil.copytree(bundle, tmp_path / bundle.name))

        def read(path: Path, folder: Path = folder) -> None:
            shutil.copyfile(path, folder / JSON)
            use(folder)

        valid = [(bundle / JSON).read_bytes(), json.dumps(json.loads((bundle / JSON).read_bytes())).encode()]
        counts = fuzz(valid, read, inputs=INPUTS // len(bundles) + 1, memory=512 << 20, name=JSON)
        assert counts.read > 0
        assert counts.refused > 0
    record("damaged recognizer.json read", trials=INPUTS, lost=0, wrong=0)


@pytest.mark.parametrize("role", ["model", "support"])
def test_tensors_whose_checksum_is_right(bundles: list[Path], tmp_path: Path, role: str) -> None:
    for bundle in bundles:
        folder = Path(shutil.copytree(bundle, tmp_path / bundle.name))
        counts = fuzz(
            [next(folder.glob(f"{role}-*")).read_bytes()],
            functools.partial(_read_tensors, folder, role, (bundle / JSON).read_text()),
            inputs=INPUTS // len(bundles) + 1,
            memory=512 << 20,
            name="tensors",
        )
        assert counts.refused > 0
    record(f"damaged {role} tensors read, with the right checksum", trials=INPUTS, lost=0, wrong=0)


def _read_tensors(folder: Path, role: str, description: str, path: Path) -> None:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    values = json.loads(description)
    values["sha256"][role] = digest
    (folder / JSON).write_text(json.dumps(values))
    tensors = folder / f"{role}-{digest[:16]}.safetensors"
    tensors.write_bytes(content)
    try:
        use(folder)
    finally:
        tensors.unlink()
