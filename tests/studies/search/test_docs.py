"""The examples of the documentation run as they are written."""

import re
from pathlib import Path

import pytest

from fewshot_audio.studies.crossval.plan import read_candidates
from fewshot_audio.studies.holdout import open_development
from fewshot_audio.studies.tune.space import check_space, read_space
from tests.tiny import tiny_configs

DOCS = Path(__file__).parents[3] / "docs"


def json_block(page: str) -> str:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return str(block)


def test_the_candidates_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "candidates.json").write_text(json_block("crossval.md"))
    base, *others = read_candidates(tmp_path / "candidates.json", *tiny_configs())
    assert [candidate.name for candidate in others] == ["lr 1e-3", "squared distance", "mean and maximum"]
    assert others[2].model.Hybrid.pooling == "mean_max"
    assert base.changes == {}


def test_the_space_of_the_page(tmp_path: Path, tiny_dataset: Path) -> None:
    (tmp_path / "space.json").write_text(json_block("tune.md"))
    space = read_space(tmp_path / "space.json")
    experiment, model = tiny_configs()
    check_space(space, experiment, model, open_development(tiny_dataset, experiment), "tune.md")


@pytest.mark.parametrize("page", ["crossval.md", "tune.md"])
def test_every_option_of_the_page_exists(page: str) -> None:
    import typer.main

    from fewshot_audio.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {option for name in ("configs", "crossval", "tune") for p in commands[name].params for option in p.opts}
    names = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", (DOCS / page).read_text()))
    assert names
    assert names <= options
