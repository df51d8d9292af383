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


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--seeds", "0,x"], 2, "--seeds 'x': expected whole numbers from 0 on, separated by commas"),
        (["--shots", "1,0"], 2, "--shots '0': expected whole numbers from 1 on, separated by commas"),
        (["--halving", "2x2", "--epochs", "3"], 2, "--halving names its own epochs"),
        (["--halving", "2"], 2, "rung '2': expected folds x epochs"),
        (["--keep", "3"], 2, "keep 3.0: expected a share between 0 and 1"),
        (["--folds", "99"], 1, "99 folds of 17 classes"),
        (["--folds", "6"], 1, "n_way_test is 3, but the smallest of 6 folds has 2 classes to test on (of 17 training"),
        (["--folds", "6"], 1, "use --folds 5 or fewer"),
        (["--shots", "1,30"], 1, "--shots 30 and n_query_test 2 need 32 clips per class to test on"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], code: int, message: str, arguments: list[object], shell: Shell, tmp_path: Path
) -> None:
    outcome = shell(*arguments, *options)
    assert outcome.code == code
    assert message in outcome.err
    assert "test split" not in outcome.err  # what a fold is tested on is no such split
    assert not (tmp_path / "out").exists()


def test_every_problem_of_a_candidate_names_it(arguments: list[object], shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "candidates.json").write_text(
        '[{"name": "wide", "set": {"n_way_train": 40, "n_shot_train": 90, "use_attention": false}}]'
    )
    lines = shell(*arguments).err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: candidate 'wide': ") for line in lines)


def test_ctrl_c_says_how_to_go_on(arguments: list[object], shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(fewshot_audio.studies.crossval.work, "cross_validate", interrupt)
    outcome = shell(*arguments)
    assert outcome.code == 130
    assert "the same command continues" in outcome.err
