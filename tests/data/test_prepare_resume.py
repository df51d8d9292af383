"""Killed at any moment and started again, preparation ends as if it had never been stopped."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.preparation_journal import JOURNAL
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders
from tests.data.recordings import SMALL, class_folders, contents

PROGRAM = """
import sys
from pathlib import Path
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders
from tests.data.recordings import SMALL

def progress(description, done, total, details=""):
    print(done, flush=True)

source, folder, workers = sys.argv[1:]
options = {"waveforms": True, "workers": int(workers), "progress": progress}
prepare(ClassFolders(Path(source)), DatasetFolder(Path(folder)), SMALL, **options)
"""


def start(source: Path, folder: DatasetFolder, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(source), str(folder.path), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def finish(source: Path, folder: DatasetFolder) -> int:
    return prepare(ClassFolders(source), folder, SMALL, waveforms=True, workers=1).reused


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in ``source/``, prepared in ``undisturbed/``."""
    root = tmp_path_factory.mktemp("reference")
    finish(class_folders(root / "source", classes=16, clips=10), DatasetFolder(root / "undisturbed"))
    return root


@pytest.fixture
def source(reference: Path) -> Path:
    return reference / "source"


@pytest.fixture
def undisturbed(reference: Path) -> dict[str, str]:
    return contents(DatasetFolder(reference / "undisturbed"))


@pytest.fixture
def folder(tmp_path: Path, reference: Path) -> DatasetFolder:
    """A copy of what was prepared."""
    return DatasetFolder(shutil.copytree(reference / "undisturbed", tmp_path / "copy"))


def test_killed_in_the_middle(tmp_path: Path, source: Path, undisturbed: dict[str, str]) -> None:
    folder = DatasetFolder(tmp_path / "killed")
    process = start(source, folder, workers=1)
    assert process.stdout
    for line in process.stdout:
        if int(line) >= 50:
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert not folder.splits.exists()
    assert finish(source, folder) >= 50
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_journal_that_was_cut_off(source: Path, folder: DatasetFolder, undisturbed: dict[str, str], cut: int) -> None:
    journal = folder.path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert 157 <= finish(source, folder) <= 160
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\n{}\n", b"[]\n"])
def test_a_journal_that_is_none(
    source: Path, folder: DatasetFolder, undisturbed: dict[str, str], content: bytes
) -> None:
    (folder.path / JOURNAL).write_bytes(content)
    assert finish(source, folder) == 0
    assert contents(folder) == undisturbed


@pytest.mark.soak
def test_twenty_kills_at_random_moments(tmp_path: Path, source: Path, undisturbed: dict[str, str]) -> None:
    rng = random.Random(0)
    for round_ in range(20):
        folder = DatasetFolder(tmp_path / f"killed{round_ % 4}")
        process = start(source, folder, workers=1 + round_ % 2)
        assert process.stdout
        process.stdout.readline()  # the work has begun
        time.sleep(rng.uniform(0, 1.0))
        process.kill()
        process.stdout.close()
        process.wait()
    for i in range(4):
        finish(source, DatasetFolder(tmp_path / f"killed{i}"))
        assert contents(DatasetFolder(tmp_path / f"killed{i}")) == undisturbed
