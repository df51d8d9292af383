"""Full disks and limits on files: a message, what was there before is whole, and the same command later ends alike."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine import checkpoint
from fewshot_audio.errors import DataError, Interrupted, WriteError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.files import write_json
from fewshot_audio.runtime.tensor_file import load_tensors
from tests.data.recordings import class_folders, contents
from tests.disks import file_size_limit, small_disk
from tests.engine.comparison import outcome
from tests.engine.test_damaged_files import StopAfter
from tests.soak.commands import Preparation, largest_file, run
from tests.soak.reliability import record
from tests.tiny import tiny_configs, write_tiny_dataset

TRIALS = 20
LARGE = 1 << 28  # a disk that everything fits on

pytestmark = pytest.mark.soak


class Disk:
    """A folder, on a disk of its own if that is to become full."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self._mounted = mounted

    def resize(self, size: int) -> None:
        if self._mounted:
            subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)


@contextmanager
def disk(folder: Path, kind: str) -> Iterator[Disk]:
    if kind == "full disk":
        with small_disk(folder, LARGE):
            yield Disk(folder, mounted=True)
    else:
        folder.mkdir()
        yield Disk(folder, mounted=False)


def used(folder: Path) -> int:
    """Bytes of the pages that a folder's files take; folders take none."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def is_explained(code: int, messages: str) -> bool:
    """Whether a command that failed said why, in words."""
    reasons = ("cannot be written", "No space left", "File too large")
    return code == 1 and "Traceback" not in messages and any(reason in messages for reason in reasons)


# -- training ----------------------------------------------------------------------------------------------------------


def configs() -> tuple[ExperimentConfig, ModelConfig]:
    return tiny_configs({"num_epochs": 4})


def training(home: Path, output: Path) -> list[str | Path]:
    for name, config in zip(("experiment", "model"), configs(), strict=True):
        write_json(home / f"{name}.json", config.model_dump())
    files: list[str | Path] = ["-e", home / "experiment.json", "-m", home / "model.json", "--data-root", home / "data"]
    return ["train", *files, "--output", output, "--resume"]


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, Any]:
    write_tiny_dataset(tmp_path / "data")
    run_experiment(*configs(), tmp_path / "data", tmp_path / "undisturbed")
    return outcome(tmp_path / "undisturbed" / "tiny")


def begin(home: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that was stopped in its second epoch."""
    monkeypatch.setattr(checkpoint, "REPORT_SECONDS", 0)
    with pytest.raises(Interrupted):
        run_experiment(*configs(), home / "data", output, progress=StopAfter(2))


@pytest.mark.parametrize("kind", ["file size limit", "full disk"])
def test_training(
    tmp_path: Path, undisturbed: dict[str, Any], chance: random.Random, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    failed = lost = wrong = 0
    with disk(tmp_path / "disk", kind) as small:
        for trial in range(TRIALS):
            output = small.folder / str(trial)
            small.resize(LARGE)
            begin(tmp_path, output, monkeypatch)
            limits: list[Preparation] = []
            if kind == "full disk":
                small.resize(used(small.folder) + chance.randrange(0, 90_000, 4096))
            else:
                limits.append(largest_file(round(10 ** chance.uniform(1, 5))))
            code, messages = run(training(tmp_path, output), *limits)
            if code:
                failed += 1
                wrong += not is_explained(code, messages)
                lost += len(load_tensors(output / "tiny" / "run-1" / "state.pt")["history"]) < 1
            small.resize(LARGE)
            code, messages = run(training(tmp_path, output))
            wrong += code != 0 or outcome(output / "tiny") != undisturbed
    assert failed > TRIALS // 4
    record(f"{kind} during `train`, then `--resume`", trials=TRIALS, lost=lost, wrong=wrong)


# -- preparation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file size limit", "full disk"])
def test_preparation(tmp_path: Path, chance: random.Random, kind: str) -> None:
    source = class_folders(tmp_path / "source", classes=15, clips=3)

    def preparing(root: Path, workers: int) -> list[str | Path]:
        where: list[str | Path] = ["--source", source, "--data-root", root, "--name", "Mine"]
        return ["prepare", "folder", *where, "--segment-seconds", "0.2", "--waveforms", "--workers", str(workers)]

    assert run(preparing(tmp_path / "undisturbed", 1))[0] == 0
    folder = DatasetFolder(tmp_path / "undisturbed" / "Mine")
    expected, size = contents(folder), used(folder.path)
    failed = lost = wrong = 0
    with disk(tmp_path / "disk", kind) as small:
        for trial in range(TRIALS):
            root = small.folder / str(trial)
            command = preparing(root, 1 + trial % 2)
            limits: list[Preparation] = []
            if kind == "full disk":
                small.resize(used(small.folder) + chance.randrange(8192, size, 4096))
            else:
                limits.append(largest_file(round(10 ** chance.uniform(1, 4.3))))
            code, messages = run(command, *limits)
            if code:
                failed += 1
                wrong += not is_explained(code, messages)
                lost += (root / "Mine" / "splits.npy").exists()  # marks a folder that can be used
            small.resize(LARGE)
            code, messages = run(command)
            wrong += code != 0 or contents(DatasetFolder(root / "Mine")) != expected
    assert failed > TRIALS // 4
    record(f"{kind} during `prepare`, then again", trials=TRIALS, lost=lost, wrong=wrong)


# -- store and report --------------------------------------------------------------------------------------------------


def test_packing_a_store(tmp_path: Path, chance: random.Random) -> None:
    folder = write_tiny_dataset(tmp_path)
    expected = SegmentStore.open(folder).segments[:].copy()
    trials, failed, lost, wrong = 5 * TRIALS, 0, 0, 0
    for trial in range(trials):
        path = folder.features / "class-00" / "clip-00.npy"
        path.touch()  # the store is packed anew
        try:
            with file_size_limit(round(10 ** chance.uniform(1, 6))):
                SegmentStore.open(folder, precision="float16" if trial % 4 == 0 else "float32")
        except (WriteError, DataError) as error:
            failed += 1
            wrong += "File too large" not in str(error)
            wrong += bool(list((folder.path / ".store").rglob("*.partial")))
        wrong += not (SegmentStore.open(folder).segments[:] == expected).all()
    assert failed > trials // 4
    record("file size limit while a store is packed, then again", trials=trials, lost=lost, wrong=wrong)


def test_reporting(tmp_path: Path, undisturbed: dict[str, Any], chance: random.Random) -> None:
    assert undisturbed
    page = tmp_path / "report.html"
    command: list[str | Path] = [
        "report",
        tmp_path / "undisturbed" / "tiny",
        "--data-root",
        tmp_path / "data",
        "-o",
        page,
    ]
    assert run(command)[0] == 0
    before = page.read_bytes()
    failed = lost = wrong = 0
    for _ in range(TRIALS):
        code, messages = run([*command, "--plots", tmp_path / "plots"], largest_file(round(10 ** chance.uniform(1, 6))))
        if code:
            failed += 1
            wrong += not is_explained(code, messages)
            lost += page.read_bytes() != before and not page.read_bytes().rstrip().endswith(b"</html>")
    assert failed > TRIALS // 4
    assert run(command)[0] == 0
    record("file size limit during `report`", trials=TRIALS, lost=lost, wrong=wrong)
