"""``reproduce``: what its options ask for, what it prints, and how it is stopped and goes on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fewshot_audio.studies.reproduce.run as module
from fewshot_audio.errors import Interrupted
from fewshot_audio.functional.statistics import summarize_tasks
from fewshot_audio.studies.reproduce.matrix_tables import MatrixRow
from fewshot_audio.studies.reproduce.protocols import METAAUDIO, TaskChanges
from fewshot_audio.studies.reproduce.run import MatrixPlan
from tests.shell import Shell
from tests.tiny import NAME

DONE = MatrixRow(NAME, NAME, "1 plain", "Hybrid", 5, 5, 5, 20, 1, 0.5, 0.01)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[MatrixPlan]:
    """What was asked for; nothing is run, and one row is there before Ctrl-C."""
    plans: list[MatrixPlan] = []

    def interrupted(plan: MatrixPlan, *_: object) -> Iterator[MatrixRow]:
        plans.append(plan)
        yield DONE
        raise Interrupted("interrupted")

    monkeypatch.setattr(module, "reproduce", interrupted)
    return plans


def test_options_make_the_plan(plans: list[MatrixPlan], shell: Shell, tiny_dataset: Path, tmp_path: Path) -> None:
    options = ["--ways", "5,all", "--shots", "1,5", "--metaaudio", "--test-on", NAME.upper()]
    names = ["--datasets", NAME.lower(), "--datasets", NAME, "--scenarios", "fast"]
    shell("reproduce", "--data-root", tiny_dataset, "--output", tmp_path, *options, *names)
    (plan,) = plans
    assert [(cell.dataset, cell.system) for cell in plan.cells] == [(NAME, "fast")]
    assert plan.protocols == [
        TaskChanges(5, 1),
        TaskChanges(5, 5),
        TaskChanges("all", 1),
        TaskChanges("all", 5),
        *METAAUDIO,
    ]
    assert plan.test_on == [NAME]


def test_ctrl_c_keeps_the_rows_and_says_how_to_go_on(
    plans: list[MatrixPlan], shell: Shell, tiny_dataset: Path, tmp_path: Path
) -> None:
    outcome = shell("reproduce", "--data-root", tiny_dataset, "--output", tmp_path, "--datasets", NAME)
    assert outcome.code == 130
    assert "the same command continues" in outcome.err
    assert "50.00 ± 1.00" in (tmp_path / "results.md").read_text()
    assert plans[0].protocols == [TaskChanges()]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--ways", "5,1", "from 2 on"),
        ("--ways", "x", "or all"),
        ("--shots", "all", "from 1 on"),
        ("--scenarios", "6", "5-cpl"),
    ],
    ids=["one-way", "word", "all-shots", "scenario"],
)
def test_wrong_options_are_refused(
    plans: list[MatrixPlan], shell: Shell, tmp_path: Path, option: str, value: str, message: str
) -> None:
    outcome = shell("reproduce", "--data-root", tmp_path, "--output", tmp_path, option, value)
    assert (outcome.code, plans) == (2, [])
    assert message in outcome.err


@pytest.mark.parametrize("option", ["--datasets", "--test-on"])
def test_an_absent_dataset_is_refused_before_any_work(
    option: str, plans: list[MatrixPlan], shell: Shell, tiny_dataset: Path, tmp_path: Path
) -> None:
    outcome = shell("reproduce", "--data-root", tiny_dataset, "--output", tmp_path / "out", option, "Absent")
    assert (outcome.code, plans) == (1, [])
    assert f"dataset 'Absent' not found in '{tiny_dataset}' (found: {NAME})" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_row_without_a_result_is_a_failure_with_its_reason(
    shell: Shell, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = MatrixRow(NAME, NAME, "1 plain", "Hybrid", 9, 1, 5, 20, note="the test split has 7 classes")
    monkeypatch.setattr(module, "reproduce", lambda *_: iter([DONE, row]))
    outcome = shell("reproduce", "--data-root", tiny_dataset, "--output", tmp_path, "--datasets", NAME)
    assert outcome.code == 1
    assert f"error: {NAME}: the test split has 7 classes" in outcome.err
    assert "50.00 ± 1.00" in (tmp_path / "results.md").read_text()


def test_one_task_has_no_interval() -> None:
    test = summarize_tasks(np.array([0.5]), 5, 1, 1)
    assert module.pool_runs([test]).ci95 is None
    assert module.pool_runs([test, test]).ci95 == 0.0
