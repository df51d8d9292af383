"""Runs of one experiment on several machines: chosen, kept apart by locks, gathered."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.gather_runs import gather_runs
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.engine.comparison import outcome
from tests.tiny import tiny_configs, write_tiny_dataset

THREE_RUNS = {"num_runs": 3, "num_epochs": 1}


def train(root: Path, output: Path, runs: list[int] | None, changes: dict[str, Any] | None = None, **more: Any) -> Path:
    """Do some runs of an experiment and return its folder."""
    run_experiment(*tiny_configs(THREE_RUNS | (changes or {})), root, output, runs=runs, **more)
    return output / "tiny"


@pytest.fixture(scope="module")
def whole(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of all runs on one machine."""
    return outcome(train(tiny_dataset, tmp_path_factory.mktemp("whole"), None))


@pytest.fixture(scope="module")
def machines(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two machines that share the runs out."""
    return [train(tiny_dataset, tmp_path_factory.mktemp("machine"), runs) for runs in ([1, 3], [2])]


# -- chosen runs -------------------------------------------------------------------------------------------------------


def test_only_the_chosen_runs_are_done(machines: list[Path], whole: dict[str, Any]) -> None:
    assert [sorted(path.name for path in folder.glob("run-*")) for folder in machines] == [
        ["run-1", "run-3"],
        ["run-2"],
    ]
    results = [json.loads((folder / "results.json").read_text()) for folder in machines]
    assert [[run["seed"] for run in result["runs"]] for result in results] == [[0, 2], [1]]
    both = [run["test"]["accuracy"] for run in results[0]["runs"]]
    assert results[0]["accuracy"] == pytest.approx(np.mean(both))


def test_machines_that_share_a_folder_end_with_the_same(
    tiny_dataset: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    for runs in ([2], [3], [1]):
        folder = train(tiny_dataset, tmp_path, runs, resume=True)
    assert outcome(folder) == whole


@pytest.mark.parametrize("runs", [[0], [4], [1, 9]])
def test_runs_that_are_none_are_refused(tiny_dataset: Path, tmp_path: Path, runs: list[int]) -> None:
    with pytest.raises(ConfigError, match="numbered from 1 to num_runs, which is 3"):
        train(tiny_dataset, tmp_path, runs)
    assert not list(tmp_path.iterdir())


# -- locks -------------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from fewshot_audio.experiments.folder import ExperimentFolder
with ExperimentFolder(Path(sys.argv[1])).working_on(int(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_another_process_works_on_is_refused(
    tiny_dataset: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    folder = tmp_path / "tiny"
    command = [sys.executable, "-c", HOLD, str(folder), "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        train(tiny_dataset, tmp_path, [1, 3], resume=True)  # other runs are free
        leftover = folder / "run-2" / ".fewshot-audio-half1234.tmp"
        leftover.parent.mkdir()
        leftover.touch()
        for more in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ConfigError, match=r"run-2: (another|a) process is working on this run"):
                train(tiny_dataset, tmp_path, [2], **more)
        assert leftover.exists()  # perhaps the other's
        other.communicate()
    assert outcome(train(tiny_dataset, tmp_path, [2], resume=True)) == whole
    assert not leftover.exists()


def test_a_killed_process_leaves_no_lock(tiny_dataset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "tiny"), "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        other.kill()
    with ExperimentFolder(tmp_path / "tiny").working_on(1):
        pass


# -- gathering ---------------------------------------------------------------------------------------------------------


def test_gathered_runs_equal_those_of_one_machine(machines: list[Path], tmp_path: Path, whole: dict[str, Any]) -> None:
    results = gather_runs(machines, tmp_path / "all")
    assert results.as_json() == json.loads((tmp_path / "all" / "results.json").read_text())
    assert outcome(tmp_path / "all") == whole
    assert not list((tmp_path / "all").glob(".*partial"))
    before = (tmp_path / "all" / "results.json").read_bytes()
    gather_runs(machines, tmp_path / "all")  # again: the same
    assert (tmp_path / "all" / "results.json").read_bytes() == before


def test_one_of_the_folders_may_take_the_others(machines: list[Path], tmp_path: Path, whole: dict[str, Any]) -> None:
    own = shutil.copytree(machines[0], tmp_path / "own")
    gather_runs([machines[1]], own)
    assert outcome(own) == whole


def test_a_run_that_is_not_finished_is_left_out_and_said(
    machines: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = shutil.copytree(machines[0], tmp_path / "half")
    (half / "run-3" / "result.json").unlink()
    results = gather_runs([half, machines[1]], tmp_path / "all")
    assert [run.seed for run in results.runs] == [0, 1]
    assert "left out, because they are not finished: run-3" in caplog.text
    (half / "run-1" / "result.json").unlink()
    with pytest.raises(DataError, match="no finished run"):
        gather_runs([half], tmp_path / "none")


def test_other_settings_are_refused(machines: list[Path], tiny_dataset: Path, tmp_path: Path) -> None:
    other = train(tiny_dataset, tmp_path, [2], {"lr": 0.01})
    with pytest.raises(
        ConfigError, match=r"is of another experiment than .*experiment_config.json: lr \(0.005 -> 0.01"
    ):
        gather_runs([machines[0], other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_other_data_is_refused(machines: list[Path], tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "data")
    next((tmp_path / "data" / "Tiny" / "features").glob("*/*.npy")).unlink()
    other = train(tmp_path / "data", tmp_path, [2])
    with pytest.raises(ConfigError, match="was trained on other data than"):
        gather_runs([machines[0], other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_two_results_of_one_run_are_refused(machines: list[Path], tmp_path: Path) -> None:
    other = shutil.copytree(machines[1], tmp_path / "other")
    np.save(other / "run-2" / "test_accuracies.npy", np.zeros(10))
    result = json.loads((other / "run-2" / "result.json").read_text())
    result["test"] |= {"accuracy": 0.0, "std": 0.0, "ci95": 0.0, "tasks": 10}
    (other / "run-2" / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="different results of the same run"):
        gather_runs([*machines, other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_what_is_no_experiment_is_refused(machines: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no finished run"):
        gather_runs([machines[0], tmp_path / "empty"], tmp_path / "all")
