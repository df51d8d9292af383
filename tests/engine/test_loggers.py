"""Where the curves of a training are logged."""

import csv
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.engine.loggers import LOGGER_NAMES, LoggerName, build_logger
from fewshot_audio.errors import FewShotError
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.tiny import tiny_configs


def logged(root: Path, output: Path, logger: LoggerName) -> list[dict[str, float]]:
    """Train two epochs with a logger; returns the rows of metrics.csv."""
    changes = {"n_testing_tasks": 2, "n_training_tasks": 1}
    run_experiment(*tiny_configs(changes), root, output, logger_name=logger)
    with (output / "tiny" / "run-1" / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_csv_holds_the_epochs(tiny_dataset: Path, tmp_path: Path) -> None:
    metrics = logged(tiny_dataset, tmp_path, "csv")
    run = tmp_path / "tiny" / "run-1"
    with (run / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for key in ("train_loss", "val_accuracy", "lr"):
        assert [float(row[key]) for row in rows] == pytest.approx([row[key] for row in metrics])
    assert [int(row["step"]) for row in rows] == [1, 2]
    assert not (run / "tensorboard").exists()


def test_mlflow_holds_the_epochs(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", reason="mlflow is not installed")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    metrics = logged(tiny_dataset, tmp_path, "mlflow")
    client = mlflow.tracking.MlflowClient(address)
    (run,) = client.search_runs([client.get_experiment_by_name("fewshot-audio").experiment_id])
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [entry.value for entry in history] == pytest.approx([row["train_loss"] for row in metrics])
    assert run.info.run_name == "tiny/run-1"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_before_any_work(
    name: LoggerName, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted, *rest: None if wanted == name else find(wanted))
    with pytest.raises(FewShotError, match=rf"--logger {name} needs {name}: pip install 'fewshot-audio\[track\]'"):
        logged(tiny_dataset, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_every_name_has_a_logger(tmp_path: Path) -> None:
    for name in LOGGER_NAMES:
        if name not in ("mlflow", "wandb"):
            assert Path(build_logger(name, tmp_path).log_dir) == tmp_path / name
