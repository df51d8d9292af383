"""Flipped bits in everything that is read back to compute a number: refused by name, replaced, or without effect."""

import random
from pathlib import Path

import pytest

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import CHECKSUMS, CLIPS, INDEX, SEGMENT_CHECKSUMS, SEGMENTS
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.experiments.results import read_run_result
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.runtime.tensor_file import load_tensors
from tests.data.recordings import SMALL, class_folders
from tests.data.test_store_damage import flip
from tests.runtime.test_tensor_file import equal
from tests.soak.reliability import record
from tests.tiny import tiny_configs

FLIPS = 500

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def run(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    run_experiment(*tiny_configs(), tiny_dataset, root)
    return root / "tiny" / "run-1"


@pytest.mark.parametrize("name", ["model.pt", "state.pt"])
def test_weights_and_states(run: Path, tmp_path: Path, chance: random.Random, name: str) -> None:
    good, expected = (run / name).read_bytes(), load_tensors(run / name)
    path = tmp_path / name
    wrong = 0
    for _ in range(FLIPS):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 5))):
            data[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            wrong += not equal(load_tensors(path), expected)
        except DataError as error:
            wrong += str(path) not in str(error)
    record(f"flipped bits in {name}", trials=FLIPS, lost=0, wrong=wrong)


def test_accuracies(run: Path, chance: random.Random) -> None:
    path = run / "test_accuracies.npy"
    good, expected = path.read_bytes(), read_run_result(run).accuracies
    wrong = 0
    for _ in range(FLIPS):
        position, bit = chance.randrange(len(good)), chance.randrange(8)
        flip(path, position, bit)
        try:  # the last digits of a number are within the tolerance
            wrong += bool(abs(read_run_result(run).accuracies - expected).max() > 1e-7)
        except FewShotError as error:
            wrong += path.name not in str(error) and "result.json" not in str(error)
        path.write_bytes(good)
    record("flipped bits in test_accuracies.npy", trials=FLIPS, lost=0, wrong=wrong)


def test_stores_and_features(tmp_path: Path, chance: random.Random) -> None:
    folder = DatasetFolder(tmp_path / "Mine")
    source = ClassFolders(class_folders(tmp_path / "source", classes=15, clips=2))
    prepare(source, folder, SMALL, workers=1)
    expected = SegmentStore.open(folder).segments[:].copy()
    features = sorted(folder.features.rglob("*.npy"))
    wrong = {"store": 0, "features": 0}
    for trial in range(FLIPS):
        names = (INDEX, CLIPS, SEGMENT_CHECKSUMS, CHECKSUMS, SEGMENTS)
        (path,) = folder.path.glob(f".store/features/*/{names[trial % 5]}")
        flip(path, chance.randrange(path.stat().st_size), chance.randrange(8))
        wrong["store"] += not (SegmentStore.open(folder).segments[:] == expected).all()
    for _ in range(FLIPS):
        path = chance.choice(features)
        good = path.read_bytes()
        flip(path, chance.randrange(len(good)), chance.randrange(8))
        try:
            SegmentStore.open(folder, precision="float16")
            wrong["features"] += 1
        except DataError as error:
            wrong["features"] += str(path) not in str(error) or "Run `prepare` again" not in str(error)
        path.write_bytes(good)
    record("flipped bits in packed segments and their index", trials=FLIPS, lost=0, wrong=wrong["store"])
    record("flipped bits in the files of features", trials=FLIPS, lost=0, wrong=wrong["features"])
