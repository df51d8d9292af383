"""``index`` that is killed, with and without a cluster: the same command again makes what an undisturbed one makes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.archive.index import Index
from tests.archive.conftest import content, write
from tests.docs.blocks import ROOT
from tests.recognition import recognizers
from tests.soak.reliability import record

TRIALS = 20
RECORDINGS = 30

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, recordings of which one cannot be used, and their index."""
    home = tmp_path_factory.mktemp("home")
    recognizers.recognizer().save(home / "bundle")
    for number in range(RECORDINGS):
        samples = recognizers.sound(number % 3, number, samples=16_000 * (2 + number % 7))
        write(home / "recordings" / f"{number % 4}" / f"{number:02} Käuzchen.wav", samples)
    (home / "recordings" / "broken.wav").write_bytes(b"RIFF")
    complete(indexing(home, home / "index"))
    assert len(Index(home / "index").recordings) == RECORDINGS + 1
    return home


def indexing(home: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """The command, in a session of its own, so that its workers can be killed with it."""
    words = ["index", home / "recordings", "-o", folder, "--bundle", home / "bundle", "--hop", "0.1", *more]
    call = [sys.executable, "-c", "from fewshot_audio.cli import main; main()", *map(str, words)]
    return subprocess.Popen(call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def complete(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end, which is exit code 1 for the broken recording."""
    _, messages = process.communicate(timeout=1800)
    assert process.returncode == 1, messages
    assert b"Traceback" not in messages


@pytest.mark.parametrize("workers", ["1", "2"])
def test_kills_at_random_moments(home: Path, tmp_path: Path, chance: random.Random, workers: str) -> None:
    began = time.monotonic()
    complete(indexing(home, tmp_path / "first", "--workers", workers))
    seconds = time.monotonic() - began
    whole, kills, wrong, lost, trial = content(home / "index"), 0, 0, 0, 0
    while kills < TRIALS // 2:
        folder, known = tmp_path / str(trial), 0
        for _ in range(3):
            process = indexing(home, folder, "--workers", workers)
            time.sleep(chance.uniform(0.2, 1) * seconds)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)  # its workers notice, and end
                kills += 1
            process.communicate()
            now = len(Index(folder).recordings) if (folder / "index.json").exists() else 0
            lost += now < known
            known = now
        complete(indexing(home, folder, "--workers", workers))
        wrong += content(folder) != whole
        trial += 1
    record(f"SIGKILL of `index --workers {workers}` at random moments", trials=kills, lost=lost, wrong=wrong)


def test_kills_with_a_cluster(home: Path, tmp_path: Path, chance: random.Random) -> None:
    """Killed is one worker, the other, or the command, whose workers go on for a while beside the next one."""
    pytest.importorskip("distributed")
    whole, wrong, lost = content(home / "index"), 0, 0
    dask, file = (sys.executable, "-m", "dask"), ("--scheduler-file", str(tmp_path / "scheduler.json"))
    local = ("--host", "127.0.0.1", "--dashboard-address", ":0")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}

    def start(*words: str) -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen((*dask, *words, *file, *local), cwd=tmp_path, env=environment, **quiet)

    worker = ("worker", "--nthreads", "1", "--no-nanny")
    processes = [start("scheduler", "--port", "0"), start(*worker), start(*worker)]
    try:
        while not (tmp_path / "scheduler.json").exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
        address = ("--cluster", f"tcp://{address_of(tmp_path / 'scheduler.json')}")
        began = time.monotonic()
        complete(indexing(home, tmp_path / "first", *address))
        seconds = time.monotonic() - began
        for trial in range(TRIALS):
            folder, killed = tmp_path / str(trial), trial % 3
            process = indexing(home, folder, *address)
            time.sleep(chance.uniform(0.2, 0.95) * seconds)
            if killed == 0:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                done = len(Index(folder).recordings) if (folder / "index.json").exists() else 0
                process = indexing(home, folder, *address)
                complete(process)
                lost += len(Index(folder).recordings) < done
            else:
                processes[killed].kill()
                processes[killed].wait()
                processes[killed] = start(*worker)
                complete(process)
            wrong += content(folder) != whole
    finally:
        for process in processes:
            process.kill()
            process.wait()
    record("SIGKILL of `index --cluster`, or of one of its workers", trials=TRIALS, lost=lost, wrong=wrong)


def address_of(file: Path) -> str:
    return str(json.loads(file.read_bytes())["address"]).removeprefix("tcp://")


def test_content_tells_indexes_apart(home: Path, tmp_path: Path) -> None:
    """The comparison would notice a number that differs."""
    complete(indexing(home, tmp_path / "index"))
    path = tmp_path / "index" / "part-0000.timbre.f16"
    rows = np.fromfile(path, np.float16)
    rows[7] += 1
    rows.tofile(path)
    assert content(tmp_path / "index") != content(home / "index")
