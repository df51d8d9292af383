"""Code from outside runs only if the user names its package: over every command, wherever a file can name a part."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.files import write_json
from tests.archive.indexes import WIDTH, write_index
from tests.cli.plugins import BY_OPTION, COMMANDS, FIXTURES, NAMES_NO_PART, TRANSFORM, imported, parts, strangers
from tests.shell import Shell
from tests.tiny import NAME, write_tiny_dataset, write_tiny_waveforms

__all__ = ["parts", "strangers"]

PLACES: dict[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    "my_encoder": ("my_encoder:Statistics", {"encoder_name": "my_encoder:Statistics"}, {}),
    "my_loss": ("my_loss:Margin", {"loss": {"my_loss:Margin": {"use": False}}}, {}),
    "my_transform": ("my_transform:Clipping", {"waveaug_params": {"extra": [TRANSFORM]}}, {}),
    "PACKAGE": ("Statistics", {}, {"Statistics": {"out_dim": 8}}),
}
"""Where the two config files can name a part: the package to name, the part, what is set in either file."""

FOREIGN_ADDRESS = "203.0.113.1"  # so that a server that starts after all ends at once
PAIR = ["-e", "pair/experiment.json", "-m", "pair/model.json"]
RUN = "experiments/tiny/run-1"


BUNDLES = "bundle-1", "bundle-2"
LINES: dict[str, list[list[str]]] = {
    "augment": [["sound.wav", "-o", "views", "-e", "pair/experiment.json"]],
    "classify": [[bundle, "sound.wav"] for bundle in BUNDLES],
    "crossval": [[*PAIR, "--candidates", "candidates.json"]],
    "density": [["index", f"{bundle}:cat", "--sample", "3"] for bundle in BUNDLES],
    "enroll": [
        ["--model", RUN, "--support", "support", "-o", "new"],
        *([bundle, "--add", "owl", "sound.wav"] for bundle in BUNDLES),
    ],
    "evaluate": [[RUN], [RUN, "--open-set"], [RUN, "--untrained"]],
    "export": [[bundle, "--onnx", "x.onnx"] for bundle in BUNDLES],
    "gather": [["experiments/tiny", "-o", "gathered"]],
    "index": [["sound.wav", "-o", "new", "--bundle", bundle] for bundle in BUNDLES],
    "join": [[RUN, "experiments/tiny/run-2", "-o", "joined"]],
    "report": [["experiments/tiny", "-o", "report.html"]],
    "results": [["experiments/tiny"]],
    "search": [
        *(["index", f"{bundle}:cat"] for bundle in BUNDLES),
        *(["index", "sound.wav", "--bundle", bundle] for bundle in BUNDLES),
    ],
    "serve": [[bundle, "--host", FOREIGN_ADDRESS, "--token", "x"] for bundle in BUNDLES],
    "train": [PAIR],
    "tune": [[*PAIR, "--trials", "1"]],
}
"""The ways in which each command can meet a file that names a part, in the strangers' folder."""


def _set(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _set(values[key], value)
        else:
            values[key] = value


def plant(folder: Path, place: str) -> Path:
    """Let every config in the JSON files of a folder name a part from outside."""
    _, experiment, model = PLACES[place]

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "encoder_name" in value:
                _set(value, experiment)
            if "Attention" in value:
                _set(value, model)
            for inner in list(value.values()):
                walk(inner)

    for path in folder.rglob("*.json"):
        values = json.loads(path.read_text())
        walk(values)
        write_json(path, values)
    return folder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", LINES)
def test_a_part_that_a_file_names_is_refused(
    command: str, place: str, parts: Path, strangers: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(strangers, place)
    (strangers / "candidates.json").write_text("[]")
    write_index(strangers / "index", [], np.empty((0, WIDTH), np.float16))
    monkeypatch.chdir(strangers)
    name, *_ = PLACES[place]
    for line in LINES[command]:
        outcome = shell(command, *line)
        if command == "augment" and place == "PACKAGE":
            assert outcome.code == 0  # it reads no model file
            continue
        assert outcome.code in (1, 2), line
        assert name in outcome.err, line
        assert f"--plugin {place}" in outcome.err, line
        assert "Traceback" not in outcome.err
        assert "this is a bug" not in outcome.err
    assert imported(parts) == []


@pytest.mark.parametrize(
    "line",
    [
        *(["train", *PAIR, "--set", setting] for setting in (
            "encoder_name=my_encoder:Statistics", 'waveaug_params.extra=[{"name": "my_transform:Clipping"}]',
        )),
        ["augment", "sound.wav", "-o", "x", "-e", "pair/experiment.json", "--set",
         'waveaug_params.extra=[{"name": "my_transform:Clipping"}]'],
        ["crossval", *PAIR, "--candidates", "candidates.json"],
        ["tune", *PAIR, "--trials", "1", "--space", "space.json"],
        ["prepare", "my_source:UrbanSound8K", "--source", "."],
        ["reproduce", "--datasets", NAME, "--set", "encoder_name=my_encoder:Statistics"],
        ["reproduce", "--datasets", NAME, "--scenarios", "1", "--output", "matrix", "--set", "Hybrid.pool_dim=[1, 2]"],
        ["classify", "bundle-2", "sound.wav", "--format", "my_format:Markdown"],
        ["enroll", "bundle-2", "--add", "owl", "sound.wav", "--model", "my_encoder:Statistics"],
        ["configs", "--dataset", "x", "--scenario", "1", "-o", "x", "--encoder", "my_encoder:Statistics"],
        ["configs", "--dataset", "x", "--scenario", "4", "-o", "x", "--loss", "my_loss:Margin"],
        ["download", "my_source:UrbanSound8K", "-o", "x"],
    ],
    ids=lambda line: " ".join(line[:1] + line[-1:]),
)  # fmt: skip
def test_a_part_that_the_command_line_names_is_refused(
    line: list[str], parts: Path, strangers: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one in the files with candidates and with keys to search, and in an experiment that would be continued."""
    write_json(strangers / "candidates.json", [{"name": "x", "set": {"encoder_name": "my_encoder:Statistics"}}])
    write_json(strangers / "space.json", {"encoder_name": {"choice": ["CNN", "my_encoder:Statistics"]}})
    write_tiny_waveforms(write_tiny_dataset(strangers / "data"))
    if "matrix" in line:
        shutil.copytree(FIXTURES / "runs" / "plain", strangers / "matrix" / f"{NAME}_1_Hybrid_quick")
        plant(strangers / "matrix", "my_encoder")
    monkeypatch.chdir(strangers)
    outcome = shell(*line)
    assert outcome.code in (1, 2)
    if line[0] not in ("configs", "download") and "--model" not in line:
        assert "code from outside of fewshot-audio" in " ".join(outcome.err.split())
        assert "--plugin my_" in " ".join(outcome.err.split())
    assert imported(parts) == []


def test_every_command_is_tested() -> None:
    assert {*LINES, *NAMES_NO_PART, *BY_OPTION} == set(COMMANDS)
