"""Where results cannot be written: told by name before any work, and what is there stays as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_pair
from tests.shell import Shell
from tests.tiny import NAME, write_tiny_dataset

CALLS = {
    "prepare": ("prepare synthetic --data-root {out}", "synthetic/skipped.csv"),
    "configs": ("configs --dataset x --scenario 1 -o {out}", "experiment_config.json"),
    "train": (
        "train -e {work}/experiment.json -m {work}/model.json --data-root absent --output {out}",
        "tiny/results.json",
    ),
    "evaluate": ("evaluate absent --json {out}/x.json", "x.json"),
    "open-set": ("evaluate absent --open-set --json {out}/x.json", "x.json"),
    "tune": ("tune -e {work}/experiment.json -m {work}/model.json --trials 1 -o {out}", "trials.csv"),
    "tune-storage": (
        "tune -e {work}/experiment.json -m {work}/model.json --trials 1 -o {work}/tune --storage {out}/log",
        "log",
    ),
    "crossval": (
        "crossval -e {work}/experiment.json -m {work}/model.json --candidates absent.json -o {out}",
        "table.md",
    ),
    "report": ("report absent -o {out}/report.html", "report.html"),
    "report-plots": ("report absent -o {work}/report.html --plots {out}", "plot.svg"),
    "reproduce": ("reproduce --output {out}", "results.md"),
    "enroll": ("enroll --support absent -o {out}", "recognizer.json"),
    "classify": ("classify absent x.wav -o {out}/answers.csv", "answers.csv"),
    "classify-raven": ("classify absent x.wav --format raven -o {out}", "files.csv"),
    "export": ("export absent --onnx {out}/x.onnx", "x.onnx"),
    "gather": ("gather absent -o {out}", "results.json"),
    "join": ("join absent absent -o {out}", "run.json"),
    "augment": ("augment absent.wav -o {out}", "absent_views.png"),
    "demo": ("demo --output {out}", "synthetic"),
    "info": ("info {work}/Tiny --json {out}/x.json", "x.json"),
    "info-plot": ("info {work}/Tiny --plot {out}/x.png", "x.png"),
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pair of configs and a dataset, and a file where a command is to have its output folder."""
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)
    write_tiny_dataset(tmp_path)
    (tmp_path / "out").write_text("precious")
    return tmp_path


@pytest.mark.parametrize("name", CALLS)
def test_a_file_in_place_of_the_folder_is_told_before_any_work(name: str, work: Path, shell: Shell) -> None:
    """Other arguments name nothing that exists: a command that looked at them first would say so."""
    line, file = CALLS[name]
    before = sorted(work.rglob("*"))
    outcome = shell(*line.format(out=work / "out", work=work).split())
    assert outcome.code == 1
    assert (
        outcome.err == f"error: {work / 'out' / file}: cannot be written: {work / 'out'} is a file, expected a folder\n"
    )
    assert sorted(work.rglob("*")) == before
    assert (work / "out").read_text() == "precious"


@pytest.mark.parametrize("name", ["classify", "evaluate", "export", "report", "info", "info-plot"])
def test_a_folder_in_place_of_the_file_is_told_and_no_journal_stays(name: str, work: Path, shell: Shell) -> None:
    line, file = CALLS[name]
    (work / "folder" / file).mkdir(parents=True)
    outcome = shell(*line.format(out=work / "folder", work=work).split())
    assert outcome.code == 1
    assert outcome.err == f"error: {work / 'folder' / file}: cannot be written: a folder is there, expected a file\n"
    assert [path.name for path in (work / "folder").rglob("*")] == [file]


@pytest.mark.parametrize("name", ["classify", "evaluate", "export", "report", "info"])
def test_a_device_is_not_replaced(name: str, work: Path, shell: Shell) -> None:
    """A file that is written atomically replaces what has its name, which a superuser may do to ``/dev/full``."""
    line, file = CALLS[name]
    (work / "folder").mkdir()
    os.mkfifo(work / "folder" / file)
    outcome = shell(*line.format(out=work / "folder", work=work).split())
    assert outcome.code == 1
    assert (
        outcome.err
        == f"error: {work / 'folder' / file}: cannot be written: it is a device or a pipe, expected a file\n"
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", CALLS)
def test_a_folder_without_permission_is_named(name: str, work: Path, shell: Shell) -> None:
    line, file = CALLS[name]
    (work / "locked").mkdir(mode=0o500)
    outcome = shell(*line.format(out=work / "locked", work=work).split())
    assert outcome.code == 1
    assert outcome.err == f"error: {work / 'locked' / file}: cannot be written: Permission denied\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [["info", NAME], ["configs", "--dataset", "x", "--scenario", "1", "-o", "configs"]],
    ids=["table", "line"],
)
def test_a_full_standard_output_is_told_once(arguments: list[str], work: Path) -> None:
    command = [sys.executable, "-m", "fewshot_audio.cli", *arguments]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=work)
    assert run.returncode == 1
    assert run.stderr == "error: standard output: cannot be written: No space left on device\n"
