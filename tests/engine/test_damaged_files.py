"""Damaged weights and training states are refused by name; a store that is damaged during a training does not show."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio.data import store_folder
from fewshot_audio.errors import ConfigError, DataError, Interrupted, WriteError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.runtime.tensor_file import load_tensors, save_tensors
from tests.engine.comparison import outcome
from tests.tiny import tiny_configs, write_tiny_dataset


class StopAfter:
    """Presses Ctrl-C in an epoch (from 1)."""

    def __init__(self, epoch: int) -> None:
        self.text = f"epoch {epoch} "

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        if details.startswith(self.text):
            raise KeyboardInterrupt


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("undisturbed")
    run_experiment(*tiny_configs(), tiny_dataset, root)
    return outcome(root / "tiny")


def test_a_damaged_state_is_refused_and_the_run_can_begin_anew(
    tiny_dataset: Path, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot_audio.engine.checkpoint.REPORT_SECONDS", 0)
    with pytest.raises(Interrupted):
        run_experiment(*tiny_configs(), tiny_dataset, tmp_path, progress=StopAfter(2))
    state = tmp_path / "tiny" / "run-1" / "state.pt"
    flip(state, 300)  # not in the padding between entries
    with pytest.raises(DataError, match=r"state\.pt: damaged.*cannot go on after epoch 1: restore.*or delete it"):
        run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
    state.unlink()
    run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
    assert outcome(tmp_path / "tiny") == undisturbed


def test_damaged_weights_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    run_experiment(*tiny_configs(), tiny_dataset, tmp_path)
    run = Run.read(tmp_path / "tiny" / "run-1")
    path = run.folder / "model.pt"
    weights = load_tensors(path)
    for key, value, message in (
        ("other", torch.ones(1), "does not fit the run's configs"),
        (next(iter(weights)), torch.full_like(weights[next(iter(weights))], torch.nan), "not finite"),
        (next(iter(weights)), "text", "not the weights of a network"),
    ):
        save_tensors(path, {**weights, key: value})
        with pytest.raises(DataError, match=rf"model\.pt.*{message}"):
            run.trained_network()
    save_tensors(path, weights)
    flip(path, 300)
    with pytest.raises(DataError, match=rf"model\.pt: damaged.*delete {run.folder} and train the run again"):
        run.trained_network()


def test_a_store_that_is_damaged_during_the_training_does_not_show(
    tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_dataset(tmp_path / "data")
    packing = store_folder.pack
    packed: list[Path] = []

    def pack(*arguments: Any) -> None:
        packing(*arguments)
        packed.append(arguments[1])

    def damage(description: str, done: int, total: int, details: str = "") -> None:
        if description.endswith("training") and len(packed) == 1:
            path = packed[0] / "segments.npy"
            with path.open("r+b") as stream:
                stream.write(bytes(path.stat().st_size))  # all of it

    monkeypatch.setattr(store_folder, "pack", pack)
    monkeypatch.setattr("fewshot_audio.engine.checkpoint.REPORT_SECONDS", 0)
    run_experiment(*tiny_configs(), folder.path.parent, tmp_path, progress=damage)
    assert len(packed) == 2
    assert outcome(tmp_path / "tiny") == undisturbed


@pytest.mark.parametrize("record", [0, 3, 12])
def test_a_full_disk_under_tensorboard_is_an_error_that_says_so(
    tiny_dataset: Path,
    tmp_path: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: int,
) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    written, write = 0, RecordWriter.write

    def full(writer: RecordWriter, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > record:
            raise OSError(28, "No space left on device")
        write(writer, data)

    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", full)
        with pytest.raises(WriteError, match=r"tensorboard: cannot be written: No space left"):
            run_experiment(*tiny_configs(), tiny_dataset, tmp_path)
    assert "Traceback" not in capfd.readouterr().err
    run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
    assert outcome(tmp_path / "tiny") == undisturbed


def test_run_descriptions_that_are_damaged_are_named(tiny_dataset: Path, tmp_path: Path) -> None:
    run_experiment(*tiny_configs(), tiny_dataset, tmp_path)
    file = tmp_path / "tiny" / "run-1" / "run.json"
    good = file.read_text()
    for before, after in (
        ('"seed": 0', '"seed": "x"'),
        ("\n    16,", "\n    1e400,"),
        ("\n    16,", "\n    100000000000,"),
        ("\n    16,", "\n    -1,"),
        ('"input_shape"', '"input_size"'),
        ("{", "["),
    ):
        assert before in good
        file.write_text(good.replace(before, after, 1))
        with pytest.raises((DataError, ConfigError), match=r"run\.json"):
            Run.read(file.parent)
