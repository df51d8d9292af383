"""Shipped recognizers: written with a card by one command, found by name, the start of `enroll` without a model."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fewshot_audio.recognition.shipped
from fewshot_audio import Recognizer
from fewshot_audio.cli import main
from fewshot_audio.cli.ship import ship
from fewshot_audio.config import read_json
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json
from fewshot_audio.recognition.shipped import shipped_folder, shipped_names
from tests.recognition.sounds import sound


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, run_of: Callable[[str], Path]) -> Path:
    """An experiment's folder with one run and its results."""
    folder = tmp_path_factory.mktemp("experiment")
    shutil.copytree(run_of("plain"), folder / "run-1")
    std = 0.01 * 77**0.5 / 1.96
    test = {"accuracy": 0.8125, "std": std, "ci95": 0.01, "n_way": 3, "n_shot": 2, "n_query": 1, "tasks": 77}
    run = {"epochs": 4, "best_epoch": 3, "seed": 9, "seconds": 1.5, "test": test}
    config = {name: read_json(folder / "run-1" / f"{name}_config.json") for name in ("experiment", "model")}
    versions = {"fewshot_audio": "1", "torch": "2"}
    values = {
        "runs": [run],
        "accuracy": 0.8125,
        "ci95": 0.01,
        "dataset": "Tiny",
        "config": config,
        "versions": versions,
    }
    write_json(folder / "results.json", values)
    return folder


@pytest.fixture
def home(tmp_path: Path, experiment: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with one recognizer."""
    ship(experiment, "tiny", data_root, "Public domain.", tmp_path / "home")
    monkeypatch.setattr(fewshot_audio.recognition.shipped.shipped_folder, "__defaults__", (None, tmp_path / "home"))
    return tmp_path / "home"


def test_a_shipped_recognizer_loads_without_classes_and_its_card_tells_its_numbers(home: Path) -> None:
    assert shipped_names(home) == ["tiny"]
    recognizer = Recognizer.shipped()
    assert recognizer.classes == []
    assert recognizer.unknown_threshold is not None
    assert Recognizer.shipped("tiny").classes == []
    for former_name in (Recognizer.pretrained(), Recognizer.pretrained("tiny")):
        assert np.array_equal(former_name.embed(sound(0, 0), rate=16_000), recognizer.embed(sound(0, 0), rate=16_000))
    card = (home / "tiny" / "MODEL_CARD.md").read_text()
    weights = sum(value.numel() for value in recognizer.network.parameters())
    for text in ("# tiny", f"{weights:,} parameters", "81.25 % ± 1.00", "3-way 2-shot", "77 tasks", "Public domain."):
        assert text in card
    assert not re.search(r"[{}]", card)
    assert max(map(len, card.splitlines())) <= 120


def test_enroll_starts_from_it(
    home: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    main_ok("enroll", "--support", recordings, "-o", mine)
    assert Recognizer.load(mine).classes == ["class 0", "class 4", "class 8"]
    clips = sorted((recordings / "class 0").iterdir())
    other = tmp_path / "other"
    main_ok("enroll", "--add", "hum", *clips, "-o", other)
    assert Recognizer.load(other).classes == ["hum"]
    main_ok("enroll", "--model", "tiny", "--add", "hum", *clips, "-o", tmp_path / "by name")
    assert Recognizer.load(tmp_path / "by name").classes == ["hum"]
    main_ok("enroll", other, "--add", "class 4", *sorted((recordings / "class 4").iterdir()))
    assert Recognizer.load(other).classes == ["hum", "class 4"]
    assert Recognizer.shipped().classes == []  # the shipped one stays as it is
    with pytest.raises(SystemExit):
        main(["enroll", "--support", str(recordings)])
    assert "enroll needs -o FOLDER" in capsys.readouterr().err
    for model, message in (("tinny", "'tinny' is not shipped (found: tiny)"), ("a/b", "not a run folder")):
        with pytest.raises(SystemExit):
            main(["enroll", "--model", model, "--support", str(recordings), "-o", str(tmp_path / "new")])
        assert message in capsys.readouterr().err


def main_ok(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code


def test_what_is_not_shipped_is_said(home: Path, experiment: Path, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'x' is not shipped \(found: tiny\)"):
        shipped_folder("x", home)
    ship(experiment, "second", data_root, "", home)
    with pytest.raises(DataError, match=r"several are shipped, name one \(found: second, tiny\)"):
        shipped_folder(None, home)
    with pytest.raises(DataError, match="without a trained recognizer"):
        shipped_folder(None, tmp_path / "nothing")
    with pytest.raises(DataError, match="letters, digits and underscores"):
        ship(experiment, "../x", data_root, "", home)
