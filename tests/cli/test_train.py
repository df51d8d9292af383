"""``fewshot-audio train`` and ``src/train_test.py``: files, printed results, continuing, replacing, refusing."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import fewshot_audio.cli.train
import fewshot_audio.experiments.run_experiment
from fewshot_audio import __version__
from fewshot_audio.config import check_configs, read_configs, with_widths
from tests.cli.conftest import read, timeless, write_pair
from tests.shell import Shell
from tests.tiny import tiny_configs, write_tiny_dataset

SCRIPT = Path(__file__).parents[2] / "src" / "train_test.py"


@pytest.fixture
def arguments(files: list[object], tiny_dataset: Path, tmp_path: Path) -> list[object]:
    """A whole command line of a tiny experiment of one epoch."""
    return ["train", *files, "--data-root", tiny_dataset, "--output", tmp_path / "out", "--set", "num_epochs=1"]


# Results


def test_results_are_printed_and_written(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    outcome = shell(*arguments, "--set", "num_runs=2")
    assert outcome.code == 0
    folder = tmp_path / "out" / "tiny"
    results = read(folder / "results.json")
    assert "Tiny: 3-way 2-shot, 10 test tasks a run" in outcome.out
    assert f"Test accuracy {100 * results['accuracy']:.2f} % ± {100 * results['ci95']:.2f}" in outcome.out
    assert f"standard deviation over runs {100 * results['std_over_runs']:.2f}" in outcome.out
    assert f"Results: {folder / 'results.json'}" in outcome.out
    for run in results["runs"]:
        assert f"{100 * run['test']['accuracy']:.2f} %" in outcome.out
    assert "Traceback" not in outcome.err
    for number in (1, 2):
        names = {path.name for path in (folder / f"run-{number}").iterdir()}
        assert names >= {"experiment_config.json", "model_config.json", "metrics.csv", "model.pt", "tensorboard"}
    assert not list(folder.rglob("*.tmp"))


def test_results_hold_every_promised_field(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    shell(*arguments, "--set", "num_runs=2", "--set", "seed=5", "--set", "num_epochs=2", "--set", "n_shot_test=3")
    folder = tmp_path / "out" / "tiny"
    results = read(folder / "results.json")
    tasks = [np.load(folder / f"run-{number}" / "test_accuracies.npy") for number in (1, 2)]
    for number, run in enumerate(results["runs"]):
        assert set(run) == {"seed", "best_epoch", "kept_epoch", "epochs", "val_accuracy", "test", "seconds"}
        assert (run["seed"], run["epochs"]) == (5 + number, 2)
        rows = (folder / f"run-{number + 1}" / "metrics.csv").read_text().splitlines()
        accuracies = [float(row.split(",")[rows[0].split(",").index("val_accuracy")]) for row in rows[1:]]
        assert run["best_epoch"] == run["kept_epoch"] == 1 + int(np.argmax(accuracies))
        assert run["val_accuracy"] == max(accuracies)
        assert run["seconds"] >= 0
        assert run["test"] == {
            "accuracy": pytest.approx(tasks[number].mean()),
            "ci95": pytest.approx(1.96 * tasks[number].std() / np.sqrt(10)),
            "std": pytest.approx(tasks[number].std()),
            "tasks": 10,
            "n_way": 3,
            "n_shot": 3,
            "n_query": 2,
        }
    means = [run["test"]["accuracy"] for run in results["runs"]]
    assert 0 < results["accuracy"] < 1
    assert results["accuracy"] == pytest.approx(np.mean(means))
    assert results["std_over_runs"] == pytest.approx(np.std(means, ddof=1))
    assert results["ci95"] == pytest.approx(1.96 * np.concatenate(tasks).std() / np.sqrt(20))
    assert "pooled" in results["ci95_over"]
    assert results["dataset"] == "Tiny"
    changes = {"num_runs": 2, "seed": 5, "n_shot_test": 3}
    experiment, model = tiny_configs(changes)
    expected = {"experiment": experiment.model_dump(), "model": with_widths(experiment, model).model_dump()}
    assert results["config"] == expected
    assert results["versions"]["fewshot_audio"] == __version__
    assert results["versions"]["torch"] == version("torch")


def test_one_run_has_no_spread(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    outcome = shell(*arguments)
    assert "standard deviation over runs" not in outcome.out
    assert read(tmp_path / "out" / "tiny" / "results.json")["std_over_runs"] is None


def test_what_a_run_folder_holds_starts_the_same_run(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    shell(*arguments)
    run = tmp_path / "out" / "tiny" / "run-1"
    files = run / "experiment_config.json", run / "model_config.json"
    assert check_configs(*read_configs(*files)) == []
    shell("train", "-e", files[0], "-m", files[1], *arguments[5:7], "--output", tmp_path / "again")
    again = read(tmp_path / "again" / "tiny" / "results.json")
    assert timeless(again) == timeless(read(tmp_path / "out" / "tiny" / "results.json"))
    assert (tmp_path / "again" / "tiny" / "run-1" / "model.pt").read_bytes() == (run / "model.pt").read_bytes()


def test_without_a_terminal_every_epoch_is_a_line(arguments: list[object], shell: Shell) -> None:
    outcome = shell(*arguments, "--set", "num_runs=2", "--set", "num_epochs=2")
    steps = [match[0] for match in re.finditer(r"run \d/2: training|epoch \d: loss \d", outcome.err)]
    one_run = [step[: len("epoch 1: loss")] for step in steps[1:3]]
    assert one_run == ["epoch 1: loss", "epoch 2: loss"]
    assert [step for step in steps if step.startswith("run")] == ["run 1/2: training", "run 2/2: training"]
    assert len(steps) == 6
    assert "device cpu" not in outcome.err


def test_verbose_tells_decisions_too(arguments: list[object], shell: Shell) -> None:
    verbose = shell("-v", *arguments)
    assert "epoch 1: loss" in verbose.err
    assert "device cpu, precision fp32" in verbose.err


def test_on_a_terminal_the_bar_shows_the_epochs(
    arguments: list[object], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewshot_audio.cli.train, "stderr", Console(stderr=True, force_terminal=True))
    assert "epoch 1: loss" not in shell(*arguments).err


def test_warnings_are_shown(arguments: list[object], shell: Shell) -> None:
    outcome = shell(*arguments, "--set", "loss.cpl.use=true")
    assert outcome.code == 0
    assert "use_contrastive is false: prototypical loss only" in " ".join(outcome.err.split())


# An experiment folder that exists


def test_an_existing_folder_is_refused(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    shell(*arguments)
    before = snapshot(tmp_path / "out")
    outcome = shell(*arguments)
    assert outcome.code == 1
    assert f"error: {tmp_path / 'out' / 'tiny'} exists: continue it with --resume" in outcome.err
    assert "--overwrite" in outcome.err
    assert snapshot(tmp_path / "out") == before


def test_overwrite_replaces_it(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    shell(*arguments, "--set", "num_runs=2")
    assert shell(*arguments, "--overwrite", "--set", "seed=3").code == 0
    folder = tmp_path / "out" / "tiny"
    assert not (folder / "run-2").exists()
    assert [run["seed"] for run in read(folder / "results.json")["runs"]] == [3]


def test_resuming_a_finished_experiment_changes_nothing(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    first = shell(*arguments)
    before = snapshot(tmp_path / "out")
    again = shell(*arguments, "--resume")
    assert (again.code, again.out) == (0, first.out)
    assert snapshot(tmp_path / "out") == before


def test_resuming_does_what_is_missing(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    """More runs may be asked for; finished ones are kept."""
    shell(*arguments, "--set", "num_runs=2", "--output", tmp_path / "whole")
    shell(*arguments)
    before = snapshot(tmp_path / "out" / "tiny" / "run-1")
    assert shell(*arguments, "--resume", "--set", "num_runs=2").code == 0
    assert snapshot(tmp_path / "out" / "tiny" / "run-1") == before
    parts, whole = (read(tmp_path / name / "tiny" / "results.json") for name in ("out", "whole"))
    assert timeless(parts) == timeless(whole)
    for name in ("model.pt", "test_accuracies.npy"):
        run = Path("tiny", "run-2", name)
        assert (tmp_path / "out" / run).read_bytes() == (tmp_path / "whole" / run).read_bytes()


def test_resuming_without_a_former_run_starts(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    assert shell(*arguments, "--resume").code == 0
    assert (tmp_path / "out" / "tiny" / "results.json").is_file()


@pytest.mark.parametrize(
    ("override", "key", "file"),
    [
        ("lr=0.5", "lr (0.005 -> 0.5)", "experiment_config.json"),
        ("num_epochs=7", "num_epochs (1 -> 7)", "experiment_config.json"),
        ("loss.cpl.t_param=0.5", "t_param", "experiment_config.json"),
        ("Hybrid.seq_type=GRU", "seq_type", "model_config.json"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    override: str, key: str, file: str, arguments: list[object], shell: Shell, tmp_path: Path
) -> None:
    shell(*arguments)
    before = snapshot(tmp_path / "out")
    outcome = shell(*arguments, "--resume", "--set", override)
    assert outcome.code == 1
    assert f"run-1/{file}: cannot resume with other settings: " in outcome.err
    assert key in outcome.err
    assert snapshot(tmp_path / "out") == before


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file's content; logs of TensorBoard apart, whose names hold the time."""
    files = [path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_ctrl_c_tells_the_command_that_goes_on(
    arguments: list[object], shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fewshot_audio.experiments.run_experiment, "run_experiment", interrupted)
        outcome = shell(*arguments, "--set", "scheduler_milestones=[1, 2]", "--set", "dataset_name=tiny")
    assert (outcome.code, outcome.out) == (130, "")
    assert "Traceback" not in outcome.err
    command = shlex.split(outcome.err.splitlines()[-1])
    assert command[:2] == ["fewshot-audio", "train"]
    assert command[-1] == "--resume"
    assert shell(*command[1:]).code == 0
    config = read(tmp_path / "out" / "tiny" / "results.json")["config"]["experiment"]
    assert (config["num_epochs"], config["scheduler_milestones"], config["dataset_name"]) == (1, [1, 2], "tiny")


# What is refused


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "dataset_name=Tinny"], "nearest: 'Tiny'"),
        (["--set", "nosuch=3"], "--set 'nosuch=3': unknown key 'nosuch'"),
        (["--set", "n_way_test=9"], "n_way_test is 9, but the test split has 7 classes"),
        (["--set", "Hybrid.pool_dim=[3, 3]"], "four poolings by 3 need 81 mel bins, but a segment has 16"),
        (["--data-root", "nowhere"], "data root 'nowhere' is not a folder"),
        (["--set", "loss.cpl.use=3"], "key 'loss.cpl.use': Input should be a valid boolean (found 3)"),
        (["-m", "absent.json"], "absent.json: cannot be read"),
        (["--set", "device=cuda", "--set", "gpu_index=99"], "GPU"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    more: list[str], words: str, arguments: list[object], shell: Shell, tmp_path: Path
) -> None:
    outcome = shell(*arguments, *more)
    assert outcome.code == 1
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


# Where data lies: the flag goes before the config, the config before the variable


def test_the_flag_goes_before_the_config(arguments: list[object], shell: Shell) -> None:
    assert shell(*arguments, "--set", "data_root=/nowhere").code == 0


def test_the_config_goes_before_the_variable(
    files: list[object], tiny_dataset: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewshot_audio.cli.train, "default_data_root", "/nowhere")
    line = ["train", *files, "--output", tmp_path / "out", "--set", "num_epochs=1"]
    assert "data root '/nowhere' is not a folder" in shell(*line).err
    assert shell(*line, "--set", f"data_root={tiny_dataset}").code == 0


def test_the_variable_of_train_test_can_be_changed(
    files: list[object], tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewshot_audio.cli.train, "default_data_root", "/nowhere")
    monkeypatch.setattr(fewshot_audio.cli.train, "command", [])  # the script sets both, and they are to be restored
    text = SCRIPT.read_text()
    assert text.count('\ndata_root = "data"\n') == 1
    (tmp_path / "train_test.py").write_text(text.replace('data_root = "data"', f"data_root = {str(tiny_dataset)!r}"))
    line = [*files, "--output", tmp_path / "out", "--set", "num_epochs=1"]
    monkeypatch.setattr(sys, "argv", ["train_test.py", *map(str, line)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(tmp_path / "train_test.py"), run_name="__main__")
    assert not stop.value.code
    assert (tmp_path / "out" / "tiny" / "results.json").is_file()


def test_train_test_gives_the_same_results_as_train(tmp_path: Path, shell: Shell) -> None:
    """In a process of its own, as the documented command line has it, from a folder with the data in ``data``."""
    write_tiny_dataset(tmp_path / "data")
    line: list[Any] = [*write_pair(tmp_path, scenario=5), "--set", "num_runs=2"]
    command = [sys.executable, str(SCRIPT), *map(str, line)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr
    shell("train", *line, "--data-root", tmp_path / "data", "--output", tmp_path / "out")
    ours, theirs = (tmp_path / name / "tiny" for name in ("out", "experiments"))
    assert timeless(read(theirs / "results.json")) == timeless(read(ours / "results.json"))
    assert (theirs / "run-2" / "model.pt").read_bytes() == (ours / "run-2" / "model.pt").read_bytes()
    assert "Test accuracy" in script.stdout
