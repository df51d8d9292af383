"""``fewshot-audio results``: tables of finished experiments."""

import csv
from pathlib import Path

from fewshot_audio.experiments.run_experiment import run_experiment
from tests.shell import Shell
from tests.tiny import tiny_configs


def test_tables(tiny_dataset: Path, shell: Shell, tmp_path: Path) -> None:
    changes = {"num_epochs": 1, "n_training_tasks": 1, "n_testing_tasks": 5, "experiment_folder": "mine_50%"}
    result = run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path)
    options = ("--csv", tmp_path / "r.csv", "--latex", tmp_path / "r.tex")
    outcome = shell("results", tmp_path / "mine_50%", *options)
    assert outcome.code == 0
    shown = f"{100 * result.accuracy:.2f} ± {100 * result.ci95:.2f}"
    assert shown in outcome.out
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines())
    assert float(row["accuracy"]) == result.accuracy
    latex = (tmp_path / "r.tex").read_text()
    assert r"mine\_50\% & Tiny & prototypes & Hybrid & 3-way 2-shot & 1 & " + shown.replace("±", r"$\pm$") in latex
    assert latex.startswith(r"\begin{tabular}{lrrrrrr}")


def test_what_is_no_experiment_is_named(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("results", tmp_path)
    assert outcome.code == 1
    assert "results.json" in outcome.err
