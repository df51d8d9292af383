"""``train --runs``, ``gather`` and ``evaluate --fresh-views`` as a user calls them."""

import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import fewshot_audio.cli.train
import fewshot_audio.experiments.run_experiment
from tests.cli.conftest import read, timeless
from tests.shell import Shell

SCRIPT = Path(__file__).parents[2] / "src" / "train_test.py"


@pytest.fixture
def arguments(files: list[object], tiny_dataset: Path) -> list[object]:
    return ["train", *files, "--data-root", tiny_dataset, "--set", "num_epochs=1", "--set", "num_runs=3"]


def test_runs_are_shared_out_and_gathered(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    whole, one, two, both = (tmp_path / name for name in ("whole", "one", "two", "both"))
    assert shell(*arguments, "--output", whole).code == 0
    outcome = shell(*arguments, "--output", one, "--runs", "1,3")
    assert [line.split("│")[1].strip() for line in outcome.out.splitlines() if line.startswith("│")] == ["1", "3"]
    shell(*arguments, "--output", two, "--runs", "2-2")
    gathered = shell("gather", one / "tiny", two / "tiny", "-o", both)
    assert gathered.code == 0, gathered.err
    assert f"Results: {both / 'results.json'}" in gathered.out
    assert timeless(read(both / "results.json")) == timeless(read(whole / "tiny" / "results.json"))
    assert shell("gather", one / "tiny", tmp_path / "nothing", "-o", both).code == 1


@pytest.mark.parametrize("runs", ["", "x", "1-", "-1", "1,,2", "1;2", "3-1"])
def test_runs_that_cannot_be_read_are_refused(arguments: list[object], shell: Shell, tmp_path: Path, runs: str) -> None:
    outcome = shell(*arguments, "--output", tmp_path, "--runs", runs)
    assert outcome.code == 2
    assert "expected numbers and ranges of runs" in " ".join(outcome.err.split())
    assert not list(tmp_path.glob("tiny"))


def test_fresh_views_give_another_estimate(
    files: list[object], tiny_dataset: Path, shell: Shell, tmp_path: Path
) -> None:
    views = ["--set", "specaug_params.use=true", "--set", "test_query_augmentations=true"]
    shell("train", *files, *views, "--data-root", tiny_dataset, "--output", tmp_path, "--set", "num_epochs=1")
    reports: list[Any] = []
    for more in ([], ["--fresh-views"]):
        report = tmp_path / f"report{len(more)}.json"
        command = ["evaluate", tmp_path / "tiny" / "run-1", "--data-root", tiny_dataset, "--json", report]
        assert shell(*command, "--tasks", "40", *more).code == 0
        reports.append(read(report))
    assert abs(reports[0]["accuracy"] - reports[1]["accuracy"]) < reports[0]["ci95"]
    assert reports[0]["std"] != reports[1]["std"]


def test_ctrl_c_under_the_script_prints_the_scripts_command(
    files: list[object],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("default_data_root", "command"):  # the script sets them; they come back
        monkeypatch.setattr(fewshot_audio.cli.train, name, getattr(fewshot_audio.cli.train, name))
    monkeypatch.setattr(fewshot_audio.experiments.run_experiment, "run_experiment", interrupted)
    line = [*files, "--data-root", tiny_dataset, "--output", tmp_path / "out", "--runs", "1"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, line)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 130
    command = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert command[:2] == ["python3", str(SCRIPT)]
    assert command[-3:] == ["--runs", "1", "--resume"]
