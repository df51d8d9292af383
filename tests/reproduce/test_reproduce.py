"""The matrix: what runs, what is kept, what stands in the table."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio import reproduce as module
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.matrix import BUDGETS, DATASETS, SYSTEMS, Cell, cells
from fewshot_audio.published import PUBLISHED_FIGURES, published_figures
from fewshot_audio.reproduce import METAAUDIO, Plan, Protocol, Row, pooled, reproduce, write_tables
from fewshot_audio.results import ci95
from fewshot_audio.runs import Run
from fewshot_audio.testing import evaluate_run
from tests.tiny import NAME, write_tiny_dataset

SMALL = [
    "num_epochs=2",
    "n_training_tasks=3",
    "n_validation_tasks=3",
    "n_testing_tasks=10",
    "num_runs=2",
    "n_query_train=3",
    "device=cpu",
    "precision=fp32",
    "Hybrid.pool_dim=[2,2]",
    "Hybrid.hidden_channels=4",
    "specaug_params.W=4",
]
PROTOCOL = Protocol(way=3, shot=2, n_query=2, tasks=20)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("reproduce")
    write_tiny_dataset(folder / "data")
    write_tiny_dataset(folder / "data", "Other", seed=1)
    chosen = [Cell(NAME, "1", "Hybrid"), Cell(NAME, "3", "Hybrid"), Cell("Absent", "1", "Hybrid")]
    return Plan(chosen, "quick", folder / "data", folder / "out", SMALL, [PROTOCOL], ["Other"])


@pytest.fixture(scope="module")
def rows(plan: Plan) -> list[Row]:
    return list(reproduce(plan))


def test_every_cell_is_tested_on_every_dataset_and_baselines_stand_beside_the_first(rows: list[Row]) -> None:
    names = [(row.dataset, row.system) for row in rows]
    systems = ["1 plain", *(name.format("1 plain") for name in module.BASELINE_NAMES.values())]
    expected = [(dataset, system) for dataset in (NAME, "Other") for system in systems]
    assert names == [*expected, (NAME, "3 attention"), ("Other", "3 attention"), ("Absent", "1 plain")]
    assert {row.runs for row in rows[:-1]} == {2}
    assert all(row.trained_on == NAME for row in rows[:-1])


def test_the_row_is_what_evaluate_says_of_each_run(plan: Plan, rows: list[Row]) -> None:
    folder = plan.output / f"{NAME}_1_Hybrid_quick"
    runs = [Run.read(folder / f"run-{number}") for number in (1, 2)]
    for system in ("network", "log-mel"):
        tests = [
            evaluate_run(run, plan.data_root, run.experiment.model_copy(update=PROTOCOL.changes), system=system)
            for run in runs
        ]
        row = rows[0] if system == "network" else rows[1]
        assert row.accuracy == pytest.approx(np.mean([test["accuracy"] for test in tests]))
    assert rows[1].accuracy is not None
    assert rows[1].std_over_runs == 0  # no network, no luck of training


def test_a_missing_dataset_is_a_row_that_says_so(rows: list[Row]) -> None:
    assert rows[-1].accuracy is None
    assert "Absent" in rows[-1].note


def test_a_second_call_trains_and_tests_nothing(plan: Plan, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("tested again")

    monkeypatch.setattr(module, "evaluate_run", never)
    before = {path: path.stat().st_mtime_ns for path in plan.output.rglob("model.pt")}
    assert list(reproduce(plan)) == rows
    assert {path: path.stat().st_mtime_ns for path in plan.output.rglob("model.pt")} == before


def test_a_protocol_that_the_dataset_cannot_offer_is_a_row_that_says_why(plan: Plan) -> None:
    wide = replace(plan, cells=plan.cells[:1], protocols=[replace(PROTOCOL, way=30)], test_on=())
    (row, *_) = reproduce(wide)
    assert row.accuracy is None
    assert "30" in row.note


def test_tables_hold_the_rows_and_the_published_figures(tmp_path: Path) -> None:
    ours = Row("ESC-50-master", "ESC-50-master", "1 plain", "Hybrid", 5, 5, 5, 2000, 2, 0.8, 0.004, 0.01)
    crossed = replace(ours, trained_on="nsynth")
    absent = Row("nsynth", "nsynth", "1 plain", "Hybrid", 5, 1, 5, 2000, note="not there")
    markdown, plain, latex = write_tables([ours, crossed, absent], tmp_path)
    text = markdown.read_text()
    assert "80.00 ± 0.40 [1.00]" in text
    assert "85.61" in text
    assert "2509.10074" in text
    assert "not there" in text
    assert text.count("85.61") == 1, "a network trained elsewhere has no published counterpart"
    with plain.open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in read[:2]] == [0.8, 0.8]
    assert read[2]["accuracy"] == ""
    assert latex.read_text().count(r"\\") == 4


def test_pooling_summaries_is_pooling_tasks() -> None:
    random = np.random.default_rng(0)
    runs = [random.uniform(size=50) + shift for shift in (0, 0.1, 0.3)]
    found = pooled([{"accuracy": r.mean(), "std": r.std(), "tasks": 50} for r in runs])
    assert found["accuracy"] == pytest.approx(np.mean(runs))
    assert found["ci95"] == pytest.approx(ci95(np.concatenate(runs)))
    assert found["std_over_runs"] == pytest.approx(np.std([r.mean() for r in runs], ddof=1))


def test_the_published_budget_changes_nothing() -> None:
    for cell in cells(DATASETS, SYSTEMS, ["CNN", "Hybrid"]):
        experiment, model = cell.configs("published")
        scenario, _, loss = cell.system.partition("-")
        expected = scenario_configs(
            cell.dataset, int(scenario), "angular" if loss == "angular" else "cpl", cell.encoder
        )
        assert (experiment.model_copy(update={"experiment_folder": ""}), model) == (
            expected[0].model_copy(update={"experiment_folder": ""}),
            expected[1],
        )


def test_cells_have_folders_of_their_own() -> None:
    every = [cell.configs(budget)[0] for budget in BUDGETS for cell in cells(DATASETS, SYSTEMS, ["CNN", "Hybrid"])]
    assert len({experiment.experiment_folder for experiment in every}) == len(every)


def test_published_figures_are_found_in_any_case() -> None:
    assert [figure.accuracy for figure in published_figures("esc-50-MASTER", 5, 5)] == [0.8561]
    assert len(published_figures("ESC-50-master", 5, 1)) == 2
    assert published_figures("mine", 5, 5) == []
    assert {figure.dataset for figure in PUBLISHED_FIGURES} == set(DATASETS)


def test_metaaudios_protocol() -> None:
    assert METAAUDIO.changes == {"n_way_test": 5, "n_shot_test": 1, "n_query_test": 1, "n_testing_tasks": 10_000}


def test_evaluations_are_kept_in_the_run(plan: Plan, rows: list[Row]) -> None:
    kept = sorted((plan.output / f"{NAME}_1_Hybrid_quick" / "run-1" / "evaluations").glob("*.json"))
    assert len(kept) == 2 * (1 + len(module.BASELINE_NAMES))
    assert json.loads(kept[0].read_text())["tasks"] == PROTOCOL.tasks
