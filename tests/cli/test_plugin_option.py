"""``--plugin``: where it stands, who gets it, what it lets be imported, and that every command works with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config.plugins import VARIABLE, named_packages
from fewshot_audio.errors import Interrupted
from fewshot_audio.files import write_json
from tests.cli.conftest import write_pair
from tests.cli.plugins import (
    BY_OPTION,
    COMMANDS,
    FILES,
    NAMES_NO_PART,
    TRANSFORM,
    imported,
    parts,
    run_python,
    strangers,
)
from tests.data.recordings import write
from tests.docs.blocks import ROOT
from tests.shell import Shell
from tests.tiny import write_tiny_dataset, write_tiny_waveforms

__all__ = ["parts", "strangers"]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_the_option_once(command: str, shell: Shell) -> None:
    text = shell(*filter(None, [command]), "--help").out
    assert text.count("--plugin PACKAGE") == 1


@pytest.mark.parametrize("line", [["--plugin", "one", "configs"], ["configs", "--plugin", "one"]])
def test_it_stands_before_or_after_the_command_and_repeats(
    line: list[str], parts: Path, tmp_path: Path, shell: Shell
) -> None:
    words = ["--plugin", "two", "--dataset", "x", "--scenario", "1", "-o", tmp_path / "x"]
    assert shell(*line, *words).code == 0
    assert named_packages() == ["one", "two"]
    refused = shell("configs", "--plugin", "my.package")
    assert refused.code == 2
    assert "'my.package': expected the name of a top-level package" in " ".join(refused.err.split())


def test_a_failure_in_code_from_outside_is_not_told_as_a_bug_of_the_package(
    parts: Path, strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (parts / "my_format.py").write_text(FILES["my_format.py"].replace('lines = ["|', 'lines = [1 / 0, "|'))
    words = ("classify", "bundle-2", "sound.wav", "--format", "my_format:Markdown", "--plugin", "my_format")
    done = run_python(strangers, parts, "from fewshot_audio.cli import main; main()", *words)
    assert done.returncode == 1
    (log,) = tmp_path.rglob("*.log")
    assert done.stderr.splitlines()[-2:] == [
        "error: the code of --plugin my_format failed: ZeroDivisionError: division by zero",
        f"error: the details are in {log}",
    ]


def test_the_command_that_continues_names_them_too(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setenv(VARIABLE, "two")
    monkeypatch.setattr("fewshot_audio.experiments.run_experiment.run_experiment", interrupted)
    outcome = shell("--plugin", "one", "train", *write_pair(tmp_path), "--output", tmp_path / "out", "--set", "lr=1")
    assert outcome.code == 130
    assert outcome.err.rstrip().endswith("--set lr=1 --plugin two --plugin one --resume")


@pytest.mark.parametrize(
    "start", [["-m", "fewshot_audio"], ["-m", "fewshot_audio.cli"], [str(ROOT / "src" / "train_test.py")]]
)
def test_the_current_folder_is_not_searched(start: list[str], tmp_path: Path) -> None:
    (tmp_path / "my_encoder.py").write_text(f"open(__file__ + '.imported', 'w').close()\n{FILES['my_encoder.py']}")
    write_pair(tmp_path)
    words = ["-e", "experiment.json", "-m", "model.json", "--set", "encoder_name=my_encoder:Statistics"]
    words = [*(["train"] if start[0] == "-m" else []), *words, "--plugin", "my_encoder", "--data-root", "nowhere"]

    def error(path: str) -> str:
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, *start, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert "my_encoder: there is no such module on Python's path (PYTHONPATH=. adds the current folder)" in error(
        str(ROOT / "src")
    )
    assert imported(tmp_path) == []
    assert "data root 'nowhere' is not a folder" in error(f"{ROOT / 'src'}{os.pathsep}{tmp_path}")
    assert imported(tmp_path) == ["my_encoder.py.imported"]


FIND = """
import sys
from fewshot_audio.data.sources.registry import SOURCES
from fewshot_audio.errors import ConfigError

try:
    print([SOURCES.find(name).name for name in sys.argv[1:]])
except ConfigError as error:
    print(error)
"""


def test_an_installed_package_names_itself(parts: Path) -> None:
    """By its entry point; here one of a distribution whose files are made by hand."""
    information = parts / "my_source-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my_source\nVersion: 1.0\n")

    def find(group: str, *names: str) -> str:
        (information / "entry_points.txt").write_text(f"[{group}]\nsources = my_source\n")
        return run_python(parts, parts, FIND, *names).stdout

    assert "runs only if you name its package" in find("other.group", "my_source:UrbanSound8K")
    assert imported(parts) == []
    names = find("fewshot_audio.plugins", "urbansound8k", "my_source:UrbanSound8K")
    assert names == "['urbansound8k', 'urbansound8k']\n"
    assert imported(parts) == ["my_source.py.imported"]


RUN_LINES = """
import json, os, sys
from fewshot_audio.cli import main

for words in json.load(sys.stdin):
    os.environ.pop("FEWSHOT_AUDIO_PLUGINS", None)
    try:
        main(words)
    except SystemExit as stop:
        assert not stop.code, words
"""


def test_with_plugin_every_command_works(parts: Path, tmp_path: Path) -> None:
    changes = {
        "input_type": "wav",
        "specaug_params.use": False,
        "waveaug_params.use": True,
        "waveaug_params.aug_num": 1,
        "waveaug_params.extra": [],
        "num_runs": 2,
        "num_epochs": 1,
        "n_way_test": 2,
    }
    write_pair(tmp_path, changes=changes, scenario=4)
    experiment, model = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("experiment", "model"))
    experiment |= {"encoder_name": "my_encoder:Statistics"}
    experiment["loss"]["cpl"]["use"] = False
    experiment["loss"]["my_loss:Margin"] = {"use": True}
    experiment["waveaug_params"]["extra"] = [TRANSFORM]
    model["Statistics"] = {"channels": 4, "out_dim": 8}
    write_json(tmp_path / "experiment.json", experiment)
    write_json(tmp_path / "model.json", model)
    folder = write_tiny_dataset(tmp_path / "data")
    write_tiny_waveforms(folder)
    write_json(folder.preprocessing, Preprocessing(segment_seconds=0.5).model_dump())
    write_json(tmp_path / "candidates.json", [{"name": "narrow", "set": {"Statistics.channels": 2}}])
    write_json(tmp_path / "space.json", {"Statistics.channels": {"choice": [2, 4]}})
    for name in ("cat", "dog"):
        for clip in range(2):
            write(tmp_path / "support" / name / f"{clip}.wav", seed=clip, seconds=1)
    pair = ["-e", "experiment.json", "-m", "model.json"]
    run = "experiments/tiny/run-1"
    words_of = {
        "train": [*pair],
        "evaluate": [run, "--tasks", "5"],
        "gather": ["experiments/tiny", "-o", "gathered"],
        "join": [run, "experiments/tiny/run-2", "-o", "joined"],
        "report": ["experiments/tiny"],
        "results": ["experiments/tiny"],
        "enroll": ["--model", run, "--support", "support", "-o", "bundle"],
        "classify": ["bundle", "support/cat/0.wav", "--format", "my_format:Markdown", "--plugin", "my_format"],
        "index": ["support", "-o", "index", "--bundle", "bundle", "--workers", "2"],
        "search": ["index", "bundle:cat"],
        "density": ["index", "bundle:cat", "--sample", "2"],
        "export": ["bundle", "--onnx", "bundle.onnx"],
        "augment": ["support/cat/0.wav", "-o", "views", "-e", "experiment.json"],
        "crossval": [*pair, "--candidates", "candidates.json", "--folds", "2", "--tasks", "5", "--shots", "1",
                     "--workers", "2"],
        "tune": [*pair, "--trials", "1", "--space", "space.json"],
    }  # fmt: skip
    names = [word for kind in ("encoder", "loss", "transform") for word in ("--plugin", f"my_{kind}")]
    stdin = json.dumps([[command, *words, *names] for command, words in words_of.items()])
    done = run_python(tmp_path, parts, RUN_LINES, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(words_of) == set(COMMANDS) - set(NAMES_NO_PART) - BY_OPTION - {"serve"}
    assert imported(parts) == [f"my_{kind}.py.imported" for kind in ("encoder", "format", "loss", "transform")]
    trained = json.loads((tmp_path / "experiments" / "tiny" / "results.json").read_text())
    assert len(trained["runs"]) == 2
    assert (tmp_path / "crossval" / "table.md").read_text().count("narrow") == 1
