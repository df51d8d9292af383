"""``fewshot-audio demo``, with tiny data in the place of the synthetic sounds."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.cli import demo
from tests.cli.conftest import read
from tests.shell import Shell
from tests.tiny import write_tiny_dataset

TINY = (
    *("num_runs=1", "num_epochs=1", "n_training_tasks=1", "n_testing_tasks=5", "device=cpu", "Hybrid.pool_dim=[2, 2]"),
    *(demo.SETTINGS[-1],),
)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "data" / "synthetic").mkdir(parents=True)
    (tmp_path / "letter.txt").write_text("precious")
    outcome = shell("demo", "--output", tmp_path)
    assert outcome.code == 1
    assert f"{tmp_path} holds something else than a demo (data, letter.txt)" in outcome.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "letter.txt", "synthetic"]


def test_the_demo_compares_trained_with_untrained_and_says_where_all_lies(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(source: Any, *, data_root: Path, n_mels: int, hop: int) -> None:
        assert (source, n_mels, hop) == ("synthetic", 81, 600)
        if not data_root.exists():
            write_tiny_dataset(data_root, source)

    monkeypatch.setattr(demo, "prepare", write)
    monkeypatch.setattr(demo, "SETTINGS", TINY)
    for _ in range(2):  # a demo may be repeated
        outcome = shell("demo", "--output", tmp_path / "demo")
        assert outcome.code == 0, outcome.err
        results = read(tmp_path / "demo" / "experiments" / "synthetic" / "results.json")
        accuracy = 100 * results["runs"][0]["test"]["accuracy"]
        rows = {line.split()[1]: line for line in outcome.out.splitlines() if "trained " in line and "│" in line}
        assert f"{accuracy:.2f} % ±" in rows["trained"]
        assert " % ±" in rows["untrained"]
        assert shlex.split(outcome.out.splitlines()[-1])[1:] == [
            *("train", "-e", str(tmp_path / "demo" / "config" / "experiment_config.json")),
            *("-m", str(tmp_path / "demo" / "config" / "model_config.json")),
            *("--data-root", str(tmp_path / "demo" / "data"), "--output", str(tmp_path / "demo" / "experiments")),
        ]
        for part in ("data/synthetic", "config", "experiments/synthetic/run-1"):
            assert str(tmp_path / "demo" / part) in outcome.out
