"""The matrix: what runs, what is kept, what stands in the table."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fewshot_audio.config import check_configs
from fewshot_audio.config.algorithm_presets import PRESET_NAMES, algorithm_configs
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.config.recipes import RUNS, recipe_configs
from fewshot_audio.errors import ConfigError, Diverged
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.statistics import ci95, summarize_tasks
from fewshot_audio.studies.reproduce import run as module
from fewshot_audio.studies.reproduce.matrix import BUDGETS, DATASETS, SYSTEMS, Cell, cells
from fewshot_audio.studies.reproduce.matrix_tables import MatrixRow, write_tables
from fewshot_audio.studies.reproduce.protocols import METAAUDIO, TaskChanges
from fewshot_audio.studies.reproduce.published import PUBLISHED_FIGURES, published_figures
from fewshot_audio.studies.reproduce.run import MatrixPlan, pool_runs, reproduce
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
PROTOCOL = TaskChanges(way=3, shot=2, n_query=2, tasks=20)
LOG_MEL = module.BASELINE_NAMES["log-mel"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> MatrixPlan:
    folder = tmp_path_factory.mktemp("reproduce")
    write_tiny_dataset(folder / "data")
    write_tiny_dataset(folder / "data", "Other", seed=1)
    matrix = [Cell(NAME, "1", "Hybrid"), Cell(NAME, "3", "Hybrid"), Cell("Absent", "1", "Hybrid")]
    return MatrixPlan(matrix, "quick", folder / "data", folder / "out", SMALL, [PROTOCOL], ["Other"])


@pytest.fixture(scope="module")
def rows(plan: MatrixPlan) -> list[MatrixRow]:
    return list(reproduce(plan))


def test_every_cell_is_tested_on_every_dataset_and_baselines_stand_beside_the_first(rows: list[MatrixRow]) -> None:
    names = [(row.dataset, row.system) for row in rows]
    systems = ["1 plain", *(name.format("1 plain") for name in module.BASELINE_NAMES.values())]
    expected = [(dataset, system) for dataset in (NAME, "Other") for system in systems]
    assert names == [*expected, (NAME, "3 attention"), ("Other", "3 attention"), ("Absent", "1 plain")]
    networks = [row for row in rows[:-1] if row.encoder]
    assert {row.runs for row in networks} == {2}
    assert {row.trained_on for row in networks if row.system != "untrained network"} == {NAME}
    assert {row.trained_on for row in rows if row.system in ("untrained network", LOG_MEL)} == {""}


def test_the_row_is_what_evaluate_says_of_each_run(plan: MatrixPlan, rows: list[MatrixRow]) -> None:
    folder = plan.output / f"{NAME}_1_Hybrid_quick"
    runs = [Run.read(folder / f"run-{number}") for number in (1, 2)]
    for system in ("network", "log-mel"):
        tests = [
            evaluate_run(
                run,
                plan.data_root,
                run.experiment.model_copy(update=PROTOCOL.apply(run.experiment).changes),
                system=system,
            )
            for run in runs
        ]
        row = rows[0] if system == "network" else rows[1]
        assert row.accuracy == pytest.approx(np.mean([test.accuracy for test in tests]))
    assert (rows[1].system, rows[1].runs, rows[1].std_over_runs) == (
        LOG_MEL,
        0,
        None,
    )  # no network, no luck of training


def test_a_missing_dataset_is_a_row_that_says_so(rows: list[MatrixRow]) -> None:
    assert rows[-1].accuracy is None
    assert "Absent" in rows[-1].note


def test_a_second_call_trains_and_tests_nothing(
    plan: MatrixPlan, rows: list[MatrixRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("tested again")

    monkeypatch.setattr(module, "evaluate_run", never)
    before = {path: path.stat().st_mtime_ns for path in plan.output.rglob("model.pt")}
    assert list(reproduce(plan)) == rows
    assert {path: path.stat().st_mtime_ns for path in plan.output.rglob("model.pt")} == before


def test_a_protocol_that_the_dataset_cannot_offer_is_a_row_that_says_why(plan: MatrixPlan) -> None:
    wide = replace(plan, cells=plan.cells[:1], protocols=[replace(PROTOCOL, way=30)], test_on=())
    (row, *_) = reproduce(wide)
    assert row.accuracy is None
    assert "30" in row.note


def test_tables_hold_the_rows_and_the_published_figures(tmp_path: Path) -> None:
    ours = MatrixRow("ESC-50-master", "ESC-50-master", "1 plain", "Hybrid", 5, 5, 5, 2000, 2, 0.8, 0.004, 0.01)
    crossed = replace(ours, trained_on="nsynth")
    absent = MatrixRow("nsynth", "nsynth", "1 plain", "Hybrid", 5, 1, 5, 2000, note="not there")
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
    summary = pool_runs([summarize_tasks(accuracies, 5, 1, 1) for accuracies in runs])
    assert summary.accuracy == pytest.approx(np.mean(runs))
    assert summary.ci95 == pytest.approx(ci95(np.concatenate(runs)))
    assert summary.std_over_runs == pytest.approx(np.std([r.mean() for r in runs], ddof=1))


def test_the_published_budget_changes_nothing() -> None:
    for cell in cells(DATASETS, SYSTEMS, ["CNN", "Hybrid"]):
        experiment, model = cell.configs("published")
        scenario, _, loss = cell.system.partition("-")
        algorithm = next((name for name in PRESET_NAMES if name == cell.system), None)
        if algorithm:
            expected = algorithm_configs(cell.dataset, algorithm, cell.encoder)
        elif cell.system in RUNS:
            expected = recipe_configs(cell.dataset, "best" if cell.system == "best" else "fast", cell.encoder)
        else:
            chosen: Literal["cpl", "angular"] = "angular" if loss == "angular" else "cpl"
            expected = scenario_configs(cell.dataset, int(scenario), chosen, cell.encoder)
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
    experiment, _ = scenario_configs(NAME, 1)
    assert [protocol.apply(experiment).changes for protocol in METAAUDIO] == [
        {"n_way_test": 5, "n_shot_test": shot, "n_query_test": 1, "n_testing_tasks": 10_000} for shot in (1, 5)
    ]


def test_evaluations_are_kept_in_the_run(plan: MatrixPlan, rows: list[MatrixRow]) -> None:
    files = sorted((plan.output / f"{NAME}_1_Hybrid_quick" / "run-1" / "evaluations").glob("*.json"))
    assert len(files) == 2 * (1 + len(module.BASELINE_NAMES))
    assert (
        len(list((plan.output / f"{NAME}_1_Hybrid_quick" / "run-2" / "evaluations").glob("*.json"))) == len(files) - 2
    )
    assert json.loads(files[0].read_text())["tasks"] == PROTOCOL.tasks


def test_a_joint_training_is_tested_on_each_of_its_datasets(plan: MatrixPlan, tmp_path: Path) -> None:
    joint = replace(plan, cells=[Cell(f"{NAME}+Other", "1", "Hybrid")], test_on=["Other"], output=tmp_path)
    systems = [(row.dataset, row.system) for row in reproduce(joint) if row.accuracy is not None]
    names = ["1 plain", *(name.format("1 plain") for name in module.BASELINE_NAMES.values())]
    assert systems == [(dataset, system) for dataset in (NAME, "Other") for system in names]


def test_what_needs_no_training_stands_once_for_a_dataset_and_its_tasks(
    plan: MatrixPlan, rows: list[MatrixRow], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    test = summarize_tasks(np.repeat([0.4, 0.6], 10), 5, 1, 1)
    monkeypatch.setattr(module, "_evaluation", lambda *_: test)
    monkeypatch.setattr(module, "_train", lambda *_: [None, None])
    both = [Cell(NAME, "1", "Hybrid"), Cell(f"{NAME}+Other", "1", "Hybrid"), Cell(NAME, "1", "CNN")]
    small = [*SMALL, "CNN.pool_dim=[2,2]", "CNN.hidden_channels=4"]
    made = list(reproduce(replace(plan, cells=both, overrides=small, test_on=())))
    counts = Counter((row.dataset, row.system) for row in made)
    assert counts[NAME, LOG_MEL] == counts["Other", LOG_MEL] == 1
    assert counts[NAME, "untrained network"] == 2  # Hybrid and CNN
    assert counts[NAME, "linear probe on 1 plain"] == 3
    assert {row.runs for row in made if row.system == LOG_MEL} == {0}
    assert {row.runs for row in made if row.system == "untrained network"} == {2}
    (probe, *_) = [row for row in made if row.system == LOG_MEL]
    assert probe.ci95 == pytest.approx(1.96 * 0.1 / 20**0.5), "runs that answer alike narrow no interval"


def test_all_classes_are_those_of_the_dataset_that_is_tested(plan: MatrixPlan, rows: list[MatrixRow]) -> None:
    every = replace(plan, cells=plan.cells[::2], protocols=[replace(PROTOCOL, way="all", tasks=3)], test_on=())
    results = list(reproduce(every))
    assert [row.way for row in results] == [7] * 5 + ["all"]
    assert results[0].accuracy is not None


def test_tasks_are_the_experiments_own_where_the_protocol_does_not_say(plan: MatrixPlan, rows: list[MatrixRow]) -> None:
    own = replace(plan, cells=plan.cells[:1], protocols=[TaskChanges(way=4)], test_on=())
    (row, *_) = reproduce(own)
    assert (row.way, row.shot, row.n_query, row.tasks) == (4, 5, 5, 10)


def test_a_dataset_that_does_not_fit_is_a_row_and_the_rest_goes_on(plan: MatrixPlan, rows: list[MatrixRow]) -> None:
    wide = replace(plan, cells=plan.cells[:1], overrides=[*SMALL, "n_way_validation=8"], test_on=())
    (row,) = reproduce(wide)
    assert (row.accuracy, row.runs) == (None, 0)
    assert "n_way_validation is 8, but the validation split has 7 classes" in row.note


def test_a_training_that_diverges_is_a_row(
    plan: MatrixPlan, rows: list[MatrixRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise Diverged("the loss is not finite")

    monkeypatch.setattr(module, "run_experiment", diverge)
    (row,) = reproduce(replace(plan, cells=plan.cells[:1]))
    assert row.note == "the loss is not finite"


def test_wrong_overrides_are_refused_before_any_work(plan: MatrixPlan) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        next(reproduce(replace(plan, overrides=["nonsense=1"])))


def test_a_recipe_keeps_its_length_in_every_budget() -> None:
    quick, model = Cell(NAME, "fast", "CNN").configs("quick")
    recipe = recipe_configs(NAME, "fast", "CNN")
    assert (quick.model_copy(update={"experiment_folder": ""}), model) == (
        recipe[0].model_copy(update={"experiment_folder": ""}),
        recipe[1],
    )
    assert Cell(NAME, "best", "Hybrid").configs("quick")[0].num_runs == 1


def test_a_reason_is_a_note_below_the_table_and_no_cell_of_it(tmp_path: Path) -> None:
    absent = [MatrixRow("gone", "gone", "1 plain", "Hybrid", way, 1, 5, 9, note="not\nthere") for way in (5, 10)]
    markdown, _, latex = (path.read_text() for path in write_tables(absent, tmp_path))
    assert markdown.count("No figure for gone: not there") == latex.count("% No figure for gone: not there") == 1
    assert "| gone | 1 plain | Hybrid | 10-way 1-shot, 9 x 5 | - | - |  |" in markdown
    assert all(line.startswith("%") for line in latex.splitlines() if "not there" in line)


def test_an_algorithm_is_a_system_with_its_own_published_figure() -> None:
    assert len(PUBLISHED_FIGURES) == 5 + 25
    for name, value in (("fo-maml", 0.7466), ("fo-meta-curvature", 0.7617), ("simpleshot", 0.6882)):
        cell = Cell("ESC-50-master", name, "Hybrid")
        assert (cell.algorithm, cell.configs("quick")[0].algorithm.name) == (name, name)
        assert cell.configs("quick")[0].num_runs == 1
        assert cell.configs("quick")[0].num_epochs == cell.configs("published")[0].num_epochs
        figures = published_figures("ESC-50-master", 5, 1, name)
        assert figures[0].accuracy == value
        assert [figure.accuracy for figure in figures[1:]] == ([] if value == 0.7617 else [0.7617])
    assert Cell("ESC-50-master", "1", "Hybrid").algorithm == "prototypes"


def test_one_number_of_epochs_shortens_every_algorithm() -> None:
    first_stages = {}
    for name in PRESET_NAMES:
        experiment, model = Cell("ESC-50-master", name, "Hybrid").configs("published", ["num_epochs=40"])
        check_configs(experiment, model)
        assert experiment.num_epochs == 40
        first_stages[name] = experiment.loss.pretraining_epochs
    assert first_stages == {"fo-maml": 0, "fo-meta-curvature": 0, "meta-baseline": 8, "simpleshot": 0}
    own = ["num_epochs=40", "loss.pretraining_epochs=3"]
    assert Cell("nsynth", "meta-baseline", "CNN").configs("published", own)[0].loss.pretraining_epochs == 3
    with pytest.raises(ConfigError, match="num_epochs"):
        Cell("nsynth", "meta-baseline", "CNN").configs("published", ["num_epochs=many"])
