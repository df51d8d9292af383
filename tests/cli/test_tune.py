"""``fewshot-audio tune``: from files to a better pair of configs."""

import sys
from pathlib import Path

import pytest

import fewshot_audio.studies.tune.search
from fewshot_audio.errors import Interrupted
from tests.cli.conftest import read
from tests.shell import Shell


@pytest.fixture
def arguments(files: list[object], tiny_dataset: Path, tmp_path: Path) -> list[object]:
    space = tmp_path / "space.json"
    space.write_text('{"lr": {"float": [0.0001, 0.5], "log": true}}')
    return ["tune", *files, "--space", space, "--data-root", tiny_dataset, "-o", tmp_path / "out"]


def test_a_search_beats_a_bad_start_and_its_pair_can_be_trained(
    arguments: list[object], shell: Shell, tmp_path: Path, tiny_dataset: Path
) -> None:
    bad = ["--set", "lr=0.4", "--set", "n_training_tasks=8", "--set", "n_validation_tasks=30"]
    outcome = shell(*arguments, *bad, "--trials", 6)
    assert outcome.code == 0, outcome.err
    assert "trials have a result" in outcome.out
    best = tmp_path / "out" / "best"
    assert f"Best pair of configs: {best}" in outcome.out
    assert read(best / "experiment_config.json")["lr"] != 0.4
    rows = (tmp_path / "out" / "trials.csv").read_text().splitlines()[1:]
    accuracies = [float(row.split(",")[2]) for row in rows]
    assert rows[0].endswith("0.4")
    assert max(accuracies) > accuracies[0]
    files = ["-e", best / "experiment_config.json", "-m", best / "model_config.json"]
    assert shell("train", *files, "--data-root", tiny_dataset, "--output", tmp_path / "trained").code == 0
    assert (tmp_path / "trained" / "tiny_tuned" / "results.json").exists()


def test_without_a_file_the_published_hyperparameters_are_searched(
    arguments: list[object], shell: Shell, tmp_path: Path
) -> None:
    plain = [argument for argument in arguments if argument not in ("--space", tmp_path / "space.json")]
    outcome = shell(*plain, "--trials", 1, "--epochs", 1)
    assert outcome.code == 0, outcome.err
    header = (tmp_path / "out" / "trials.csv").read_text().splitlines()[0]
    assert header.endswith("reason,lr,scheduler_gamma")
    assert read(tmp_path / "out" / "best" / "experiment_config.json")["num_epochs"] == 2  # the base's, not the trial's


def test_ctrl_c_says_how_to_go_on(arguments: list[object], shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(fewshot_audio.studies.tune.search, "run_trial", interrupt)
    outcome = shell(*arguments, "--trials", 2)
    assert outcome.code == 130
    assert "the same command continues" in outcome.err


def test_an_absent_extra_is_named(arguments: list[object], shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = shell(*arguments, "--trials", 1)
    assert outcome.code == 1
    assert "pip install 'fewshot-audio[tune]'" in outcome.err
