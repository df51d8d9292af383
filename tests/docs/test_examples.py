"""The examples run as they stand, and learn."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_audio.data.sources.synthetic import Synthetic, write_wavs
from tests.docs.blocks import PAGES, ROOT
from tests.tiny import tiny_configs, write_tiny_dataset

EXAMPLES = ROOT / "examples"
ACCURACY = re.compile(r"accuracy on unseen classes: ([\d.]+)% ± ([\d.]+)%")


def run(name: str, *words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> float:
    """Run an example as a program; returns the accuracy that it prints, in percent."""
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    result = ACCURACY.search(capsys.readouterr().out)
    assert result
    assert 0 < float(result[2]) < 5
    return float(result[1])


def test_a_training_loop_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wavs(Synthetic(classes=12, clips=6, seconds=1, seed=1), tmp_path)
    words = {"capsys": capsys, "monkeypatch": monkeypatch}
    assert run("own_training_loop.py", str(tmp_path), **words) > 40  # chance is 20


def test_a_training_loop_needs_two_halves_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dog").mkdir()
    monkeypatch.setattr(sys, "argv", ["own_training_loop.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="has 1 folders, expected at least 10"):
        runpy.run_path(str(EXAMPLES / "own_training_loop.py"), run_name="__main__")


def test_a_training_loop_says_how_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["own_training_loop.py"])
    with pytest.raises(SystemExit, match=r"usage: python own_training_loop.py FOLDER"):
        runpy.run_path(str(EXAMPLES / "own_training_loop.py"), run_name="__main__")


def test_a_data_set_is_learned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("own_dataset.py", capsys=capsys, monkeypatch=monkeypatch) > 60


def test_an_encoder_is_trained_by_the_command_in_its_docstring(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "data")
    experiment, model = (config.model_dump() for config in tiny_configs({"num_runs": 1}))
    for name, config in (("experiment", experiment), ("model", model)):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    text = (EXAMPLES / "own_encoder.py").read_text(encoding="utf-8")
    command = re.search(r"fewshot-audio (train -e experiment.json .+?)\n\n", text, re.DOTALL)
    assert command
    words = command[1].replace("\\\\\n", " ").split()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fewshot_audio.cli", *words, "--set", "FrameTransformer.out_dim=16"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{EXAMPLES}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "experiments").iterdir()
    assert 0.2 < json.loads((folder / "results.json").read_text())["accuracy"] <= 1
    written = json.loads((folder / "run-1" / "model_config.json").read_text())
    assert written["FrameTransformer"] == {"depth": 2, "heads": 4, "out_dim": 16}


def test_the_pages_name_each_example() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(names) == 4
    assert [name for name in names if f"examples/{name}" not in text] == []
