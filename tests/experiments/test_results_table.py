"""Results of experiments as tidy rows, from Python and from the command."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import fewshot_audio
from fewshot_audio.errors import FewShotError
from fewshot_audio.experiments.results_table import COLUMNS
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.tiny import tiny_configs, write_tiny_dataset


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("experiments")
    write_tiny_dataset(folder / "data")
    small = {"num_epochs": 1, "n_training_tasks": 1, "n_testing_tasks": 5}
    for name, changes in {"one": {"num_runs": 2, "seed": 7}, "two_50%": {"n_shot_test": 1}}.items():
        run_experiment(*tiny_configs(small | changes | {"experiment_folder": name}), folder / "data", folder)
    return [folder / "one", folder / "two_50%"]


def test_each_run_is_a_row(experiments: list[Path]) -> None:
    rows = fewshot_audio.read_results(*experiments)
    assert [(row.experiment, row.run, row.seed, row.n_shot) for row in rows] == [
        ("one", 1, 7, 2),
        ("one", 2, 8, 2),
        ("two_50%", 1, 0, 1),
    ]
    for row in rows:
        folder = experiments[0].parent / row.experiment / f"run-{row.run}"
        written = json.loads((folder / "result.json").read_text())
        expected = {key: written[key] for key in ("val_accuracy", "epochs", "kept_epoch", "seconds")} | written["test"]
        assert {key: asdict(row)[key] for key in expected} == expected
        assert (row.dataset, row.algorithm, row.encoder) == ("Tiny", "prototypes", "Hybrid")
    assert fewshot_audio.read_results(str(experiments[1])) == rows[2:]


def test_a_frame_has_the_same_rows(experiments: list[Path]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = fewshot_audio.read_results(*experiments, frame=True)
    assert isinstance(frame, pandas.DataFrame)
    assert tuple(frame.columns) == COLUMNS
    assert frame.to_dict("records") == [asdict(row) for row in fewshot_audio.read_results(*experiments)]


def test_without_pandas_a_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FewShotError, match="pip install pandas"):
        fewshot_audio.read_results(frame=True)
