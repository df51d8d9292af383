"""Results are read again only if they agree with what they were computed from."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from fewshot_audio.engine.history import read_metrics, write_metrics
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.gather_runs import gather_runs
from fewshot_audio.experiments.results import read_experiment_results, read_run_metrics, read_run_result, read_test
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.studies.report.evidence import collect_evidence
from tests.compatibility.conftest import V0_1
from tests.tiny import tiny_configs


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    run_experiment(*tiny_configs({"num_runs": 2}), tiny_dataset, root)
    return root / "tiny"


@pytest.fixture
def experiment(trained: Path, tmp_path: Path) -> Path:
    return copytree(trained, tmp_path / "tiny")


def change(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a JSON file."""
    content = json.loads(path.read_text())
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section[int(parent) if parent.isdigit() else parent]
    section[last] = value
    path.write_text(json.dumps(content))


def test_what_a_run_wrote_is_read(experiment: Path) -> None:
    result = read_run_result(experiment / "run-1")
    assert result.result.test.accuracy == result.accuracies.mean()
    assert len(read_run_metrics(experiment / "run-1", result.result)) == 2
    assert read_experiment_results(experiment).runs[0] == result.result


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("test.accuracy", 0.99),
        ("test.accuracy", "0.5"),
        ("test.accuracy", True),
        ("test.accuracy", None),
        ("test.std", 0),
        ("test.ci95", 0.5),
        ("test.tasks", 11),
        ("test", []),
        ("best_epoch", 3),
        ("best_epoch", 0),
        ("kept_epoch", 3),
        ("kept_epoch", None),
        ("epochs", 1.5),
        ("seed", None),
    ],
)
def test_a_result_that_its_accuracies_do_not_give_is_refused(experiment: Path, key: str, value: Any) -> None:
    file = experiment / "run-2" / "result.json"
    change(file, key, value)
    readers: list[Callable[[], object]] = [
        lambda: read_run_result(file.parent),
        lambda: gather_runs([experiment], experiment.with_name("all")),
        lambda: ExperimentFolder(experiment).summarize(*tiny_configs({"num_runs": 2}), "Tiny"),
    ]
    for read in readers:
        with pytest.raises(DataError, match=key.rpartition(".")[2]) as error:
            read()
        assert str(file) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", np.zeros((2, 5)), np.array(["a"]), np.full(10, np.nan), np.full(10, 1.5), np.zeros(0)],
    ids=lambda content: type(content).__name__ if isinstance(content, bytes) else str(content.shape),
)
def test_damaged_accuracies_are_refused(experiment: Path, content: Any) -> None:
    file = experiment / "run-1" / "test_accuracies.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    with pytest.raises(DataError, match=r"test_accuracies\.npy"):
        read_run_result(experiment / "run-1")


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("accuracy", 0.99, DataError),
        ("ci95", 0.001, DataError),
        ("std_over_runs", 0.5, DataError),
        ("runs", [], DataError),
        ("runs.0.test.accuracy", 0.9, DataError),
        ("runs.0.test.accuracy", 1e400, ConfigError),
        ("runs.1.seed", 0, DataError),
        ("config", {}, ConfigError),
        ("config.experiment.n_way_test", "many", ConfigError),
    ],
)
def test_made_up_results_are_refused_by_name(
    experiment: Path, tiny_dataset: Path, key: str, value: Any, error: type[Exception]
) -> None:
    change(experiment / "results.json", key, value)
    for read in (lambda: read_experiment_results(experiment), lambda: collect_evidence(experiment, tiny_dataset)):
        with pytest.raises(error, match=r"results\.json"):
            read()


@pytest.mark.parametrize("name", ["plain", "attention", "waveforms"])
def test_results_of_version_0_1_are_read_and_written_in_the_same_form(name: str) -> None:
    """They say as "best_epoch" which epoch was kept; that is all that has been added."""
    folder = V0_1 / "runs" / name
    results = read_experiment_results(folder)
    written = results.as_json()
    text = (folder / "results.json").read_text(encoding="utf-8")
    old = json.loads(text)
    assert list(written) == list(old)
    assert [run.kept_epoch for run in results.runs] == [run["best_epoch"] for run in old["runs"]]
    runs = [{key: value for key, value in asdict(run).items() if key != "kept_epoch"} for run in results.runs]
    configs = {"config": old["config"]}  # has more keys by now
    assert json.dumps({**written, "runs": runs, **configs}, indent=2, ensure_ascii=False) + "\n" == text


def test_the_kept_epoch_is_the_one_whose_validation_is_reported(experiment: Path) -> None:
    run = experiment / "run-1"
    rows = read_metrics(run / "metrics.csv")
    write_metrics(run / "metrics.csv", [row | {"val_accuracy": 0.9 - 0.2 * i} for i, row in enumerate(rows)])
    for key, value in {"best_epoch": 1, "kept_epoch": 2, "val_accuracy": 0.7}.items():
        change(run / "result.json", key, value)
    result = read_run_result(run).result
    assert (result.best_epoch, result.kept_epoch) == (1, 2)
    assert [row["val_accuracy"] for row in read_run_metrics(run, result)] == pytest.approx([0.9, 0.7])
    with pytest.raises(DataError, match=r"val_accuracy is 0\.9, expected 0\.7"):
        read_run_metrics(run, replace(result, best_epoch=2, kept_epoch=1))


def test_metrics_of_another_run_are_refused(experiment: Path) -> None:
    run = experiment / "run-1"
    result, file = read_run_result(run).result, run / "metrics.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:2]))
    with pytest.raises(DataError, match="1 epochs, expected 2"):
        read_run_metrics(run, result)
    row = dict(zip(lines[0].split(","), lines[result.kept_epoch].split(","), strict=True))
    file.write_text("\n".join(lines).replace(row["val_accuracy"], "0.123"))
    with pytest.raises(DataError, match=r"val_accuracy is 0\.123"):
        read_run_metrics(run, result)


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": 0},
        {"accuracy": 1.1},
        {"std": None},
        {"ci95": 0.2},
        {"tasks": "10"},
        {"accuracy": -0.1},
        {"n_way": None},
    ],
)
def test_the_summary_of_a_test_must_be_possible(tmp_path: Path, changes: dict[str, Any]) -> None:
    test = {"accuracy": 0.5, "ci95": 0.0196, "std": 0.1, "tasks": 100, "n_way": 5, "n_shot": 1, "n_query": 3}
    assert list(asdict(read_test(tmp_path, test)).items()) == list(test.items())
    with pytest.raises(DataError, match=next(iter(changes))):
        read_test(tmp_path, test | changes)
