"""``fewshot-audio crossval``: from files to the table."""

from pathlib import Path

import pytest

import fewshot_audio.studies.crossval.work
from fewshot_audio.errors import Interrupted
from tests.cli.conftest import read
from tests.shell import Shell


@pytest.fixture
def arguments(files: list[object], tiny_dataset: Path, tmp_path: Path) -> list[object]:
    candidates = tmp_path / "candidates.json"
    candidates.write_text('[{"name": "squared", "set": {"distance": "squared"}}]')
    options = ["--data-root", tiny_dataset, "--shots", "2,1", "--tasks", 10, "-o", tmp_path / "out"]
    return ["crossval", *files, "--candidates", candidates, *options]


def test_the_table_is_printed_and_written(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    outcome = shell(*arguments, "--halving", "1x1,2x1", "--seeds", "0,3")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out" / "table.md").read_text().strip() in outcome.out
    summary = read(tmp_path / "out" / "crossval.json")
    assert {row["name"]: (row["folds"], row["epochs"]) for row in summary["candidates"]} == {
        "base": (2, 1),
        "squared": (2, 1),
    }
    assert summary["seeds"] == [0, 3]
    assert len(list((tmp_path / "out" / "trainings").glob("*.json"))) == 8  # 2 candidates, 2 folds, 2 seeds


def test_bad_options_are_refused(arguments: list[object], shell: Shell) -> None:
    for options, message in (
        (["--seeds", "0,x"], "--seeds '0,x': expected whole numbers"),
        (["--halving", "2x2", "--epochs", "3"], "--halving names its own epochs"),
        (["--folds", "99"], "99 folds of 17 classes"),
    ):
        outcome = shell(*arguments, *options)
        assert outcome.code == 1
        assert message in outcome.err


def test_ctrl_c_says_how_to_go_on(arguments: list[object], shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(fewshot_audio.studies.crossval.work, "cross_validate", interrupt)
    outcome = shell(*arguments)
    assert outcome.code == 130
    assert "the same command continues" in outcome.err
