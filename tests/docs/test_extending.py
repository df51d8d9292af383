"""The page on extending is true: each of its files, alone in a folder, works by the commands that the page gives."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.recordings import write
from tests.docs.blocks import ALL, ROOT, commands
from tests.docs.sandbox import SMALLER, link_tree

PAGE = [block for block in ALL if block.page == "extending.md"]
FILES = {block.title: block.text for block in PAGE if block.language == "python"}
COMMANDS = [command for block in PAGE if block.language == "shell" for command in commands(block)]
SMALLER_PREPARE = ["--segment-seconds", "0.5"]

RUN = """
import json, os, sys
from fewshot_audio.cli import main

for words in json.load(sys.stdin):
    os.environ.pop("FEWSHOT_AUDIO_PLUGINS", None)  # each command names what it needs
    try:
        main(words)
    except SystemExit as stop:
        assert not stop.code, words
"""


def write_city(folder: Path) -> None:
    """Recordings in the layout of UrbanSound8K: fifteen classes of two clips, one in each fold."""
    table = [("slice_file_name", "fsID", "fold", "class")]
    for label in range(15):
        for fold in (1, 2):
            table.append((f"{100 + label}-{fold}.wav", str(100 + label), str(fold), f"street_{label:02}"))
            write(folder / "audio" / f"fold{fold}" / table[-1][0], seed=label)
    (folder / "metadata").mkdir()
    with (folder / "metadata" / "UrbanSound8K.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(table)


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after all commands of the page: what its files do not say, the package does."""
    folder = tmp_path_factory.mktemp("extending") / "here"
    link_tree(world, folder)
    write_city(folder / "UrbanSound8K")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    assert {command.environment["PYTHONPATH"] for command in COMMANDS} == {"."}
    lines = [[*command.words[1:], *SMALLER.get(command.words[1], ())] for command in COMMANDS]
    for words in lines:
        words += SMALLER_PREPARE if words[0] == "prepare" else []
    environment = os.environ | {"PYTHONPATH": f".{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-P", "-c", RUN],
        input=json.dumps(lines),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


def test_each_kind_is_one_file_that_a_command_names() -> None:
    kinds = ["encoder", "loss", "source", "transform", "format"]
    assert list(FILES) == [f"my_{kind}.py" for kind in kinds]
    named = {command.words[command.words.index("--plugin") + 1] for command in COMMANDS}
    assert named == {f"my_{kind}" for kind in kinds}


def test_the_encoder_is_trained_and_enrolled(finished: Path) -> None:
    model = json.loads((finished / "experiments" / "statistics" / "run-1" / "model_config.json").read_text())
    assert model["Statistics"] == {"channels": 32, "out_dim": 64}
    bundle = json.loads((finished / "statistics_bundle" / "recognizer.json").read_text())
    assert bundle["experiment"]["encoder_name"] == "my_encoder:Statistics"


def test_the_loss_is_minimized(finished: Path) -> None:
    lines = (finished / "experiments" / "margin" / "run-1" / "metrics.csv").read_text().splitlines()
    (row,) = csv.DictReader(lines)
    assert float(row["contrastive_loss"]) > 0


def test_the_source_is_prepared(finished: Path) -> None:
    folder = finished / "data" / "urbansound8k"
    assert len(list((folder / "features").glob("*/*.npy"))) == 30
    header = json.loads((folder / ".prepare.jsonl").read_text().splitlines()[0])
    assert header["source"] == "urbansound8k"
    with (folder / "clips.csv").open(newline="") as stream:
        assert {row["group"] for row in csv.DictReader(stream)} == {str(100 + label) for label in range(15)}


def test_the_transform_is_seen(finished: Path) -> None:
    assert (finished / "views" / "new_views.png").is_file()
    assert len(list((finished / "views").glob("new_waveform_copy-*.wav"))) == 3


def test_the_format_is_written(finished: Path) -> None:
    lines = (finished / "output.txt").read_text().splitlines()
    start = lines.index("| file | start | end | label |")
    assert lines[start + 2].startswith("| new.wav | 0.00 |")


def test_without_its_file_a_command_fails(finished: Path, tmp_path: Path) -> None:
    """Else the page could do without them."""
    shutil.copy(finished / "new.wav", tmp_path)
    words = [
        "classify",
        str(finished / "my_bundle"),
        "new.wav",
        "--format",
        "my_format:Markdown",
        "--plugin",
        "my_format",
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from fewshot_audio.cli import main; main()", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "my_format: there is no such module on Python's path" in " ".join(done.stderr.split())
