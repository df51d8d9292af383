"""``fewshot-audio evaluate``: a run's own tasks again, and others."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.cli import main
from fewshot_audio.files import write_json
from tests.cli.conftest import read, write_pair
from tests.shell import Shell
from tests.tiny import write_tiny_dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` (``Tiny`` and ``Other``) and a trained run in ``run``."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_tiny_dataset(folder / "data")
    write_tiny_dataset(folder / "data", "Other", seed=1)
    settings = ["num_epochs=4", "n_training_tasks=40", "n_validation_tasks=20"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    line = [*write_pair(folder), "--data-root", folder / "data", "--output", folder / "out", *overrides]
    with pytest.raises(SystemExit) as stop:
        main(["train", *map(str, line)])
    assert not stop.value.code
    (folder / "out" / "tiny" / "run-1").rename(folder / "run")
    return folder


@pytest.fixture
def evaluate(trained: Path, tmp_path: Path, shell: Shell) -> Any:
    """Evaluate the trained run and return what ``--json`` wrote, and what was printed."""

    def run(*arguments: object) -> tuple[dict[str, Any], str]:
        numbers = tmp_path / "numbers" / "evaluation.json"
        outcome = shell("evaluate", trained / "run", "--data-root", trained / "data", "--json", numbers, *arguments)
        assert outcome.code == 0, outcome.err
        return read(numbers), outcome.out

    return run


def test_a_run_is_tested_again_on_its_own_tasks(evaluate: Any, trained: Path) -> None:
    result, printed = evaluate()
    reported = read(trained / "out" / "tiny" / "results.json")["runs"][0]["test"]
    assert result == {**reported, "dataset": "Tiny"}
    percent = f"{100 * result['accuracy']:.2f} % ± {100 * result['ci95']:.2f}"
    assert printed.strip() == f"Tiny: 3-way 2-shot, 10 tasks of 2 queries per class, trained: {percent}"


def test_other_tasks(evaluate: Any) -> None:
    result, printed = evaluate("--n-way", 5, "--n-shot", 1, "--n-query", 4, "--tasks", 30)
    assert [result[key] for key in ("n_way", "n_shot", "n_query", "tasks")] == [5, 1, 4, 30]
    assert "Tiny: 5-way 1-shot, 30 tasks of 4 queries per class" in printed
    assert round(result["accuracy"] * 5 * 4 * 30) == pytest.approx(result["accuracy"] * 5 * 4 * 30)


def test_more_shots_help_and_training_pays(evaluate: Any) -> None:
    many = "--tasks", 200
    few_shots, more_shots = (evaluate("--n-shot", shots, *many)[0]["accuracy"] for shots in (1, 8))
    untrained, printed = evaluate("--untrained", "--n-shot", 8, *many)
    assert few_shots < more_shots
    assert untrained["accuracy"] + 0.1 < more_shots
    assert "untrained:" in printed
    assert untrained == evaluate("--untrained", "--n-shot", 8, *many)[0]


def test_another_dataset(evaluate: Any) -> None:
    result, printed = evaluate("--dataset", "other", "--tasks", 100)
    own, _ = evaluate("--tasks", 100)
    assert result.pop("dataset") == "Other"
    assert own.pop("dataset") == "Tiny"
    assert printed.startswith("Other: 3-way")
    assert result != own


def test_one_task_has_no_interval(evaluate: Any) -> None:
    result, printed = evaluate("--tasks", 1, "--n-query", 1)
    assert (
        printed.strip() == f"Tiny: 3-way 2-shot, 1 task of 1 query per class, trained: {100 * result['accuracy']:.2f} %"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n-way", "8"], "n_way_test is 8, but the test split has 7 classes"),
        (["--n-shot", "11"], "n_shot_test + n_query_test is 13 clips per class"),
        (["--dataset", "Othr"], "nearest: 'Other'"),
        (["--data-root", "/nowhere"], "'/nowhere' is not a folder"),
    ],
)
def test_what_cannot_be_tested_is_refused(arguments: list[str], words: str, trained: Path, shell: Shell) -> None:
    outcome = shell("evaluate", trained / "run", "--data-root", trained / "data", *arguments)
    assert outcome.code == 1
    assert words in outcome.err
    assert "error: " in outcome.err
    assert "Traceback" not in outcome.err


def test_other_segments_are_refused(trained: Path, tmp_path: Path, shell: Shell) -> None:
    for path in write_tiny_dataset(tmp_path).features.rglob("*.npy"):
        np.save(path, np.load(path)[..., :20])
    outcome = shell("evaluate", trained / "run", "--data-root", tmp_path)
    assert outcome.code == 1
    assert "(16, 20), but the run was trained on (16, 32)" in outcome.err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: shutil.rmtree(run), "not a run folder (it has no run.json)"),
        (lambda run: (run / "run.json").write_text("{}"), "run.json: not as this program writes it"),
        (lambda run: (run / "run.json").write_text("{"), "run.json: not JSON at line 1"),
        (lambda run: (run / "experiment_config.json").write_text("{}"), "experiment_config.json: missing key"),
        (lambda run: (run / "model.pt").unlink(), "model.pt: no such file; the run has not finished its first epoch"),
        (lambda run: (run / "model.pt").write_bytes(b"not a model"), "model.pt: damaged, or not a file of tensors"),
        (lambda run: (run / "model.pt").write_bytes((run / "model.pt").read_bytes()[:999]), "model.pt: damaged"),
        (lambda run: change(run, "Hybrid", {"out_dim": 9}), "model.pt: does not fit the run's configs"),
    ],
)
def test_a_damaged_run_is_named(damage: Any, words: str, trained: Path, tmp_path: Path, shell: Shell) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    damage(tmp_path / "run")
    outcome = shell("evaluate", tmp_path / "run", "--data-root", trained / "data")
    assert outcome.code == 1
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def change(run: Path, section: str, values: dict[str, Any]) -> None:
    config = read(run / "model_config.json")
    write_json(run / "model_config.json", config | {section: config[section] | values})
