"""Parts from outside, what a stranger may hand over, and a process that finds the parts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_audio.cli import app
from fewshot_audio.config.plugins import VARIABLE
from tests.cli.conftest import write_pair
from tests.data.recordings import write
from tests.docs.blocks import ALL, ROOT
from tests.recognition import recognizers

FILES = {block.title: block.text for block in ALL if block.page == "extending.md" and block.language == "python"}
"""Parts of each kind, as the page on extending shows them."""
FIXTURES = ROOT / "tests" / "fixtures" / "v0.1"
TRANSFORM = {"name": "my_transform:Clipping", "p": 0.5}

COMMANDS = [str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback]
BY_OPTION = {"prepare", "reproduce"}
"""Commands that read no configs of others: parts are named on the command line, or in an experiment to continue."""

NAMES_NO_PART = {
    "configs": "its encoders and losses are those of the scenarios",
    "demo": "it reads what it has just written",
    "detect": "it reads tables and recordings; its network is the shipped one",
    "download": "its data sets are those of the catalog",
    "evaluate-events": "it reads tables",
    "info": "what prepared a dataset folder is not asked for",
}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parts, where Python finds them; each leaves a file when it is imported."""
    monkeypatch.setenv(VARIABLE, "")
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(f"open(__file__ + '.imported', 'w').close()\n{text}")
    monkeypatch.syspath_prepend(folder)
    return folder


def imported(parts: Path) -> list[str]:
    return sorted(path.name for path in parts.glob("*.imported"))


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """What somebody else may hand over: configs, runs, an experiment, bundles of both formats, candidates, a space."""
    folder = tmp_path / "strangers"
    shutil.copytree(FIXTURES / "runs" / "plain", folder / "experiments" / "tiny")
    shutil.copytree(FIXTURES / "bundles" / "plain", folder / "bundle-1")
    recognizers.recognizer().save(folder / "bundle-2")
    (folder / "pair").mkdir()
    write_pair(folder / "pair")
    write(folder / "sound.wav")
    return folder


def run_python(
    folder: Path, parts: Path, code: str, *words: str, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run code in a process that finds the parts, but not those in the current folder."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-P", "-c", code, *words],
        input=stdin,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{parts}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
