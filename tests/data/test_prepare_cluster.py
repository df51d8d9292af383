"""Preparation on the workers of a Dask cluster: a scheduler and two workers, each a process of its own."""

import builtins
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.audio.decode import Decoded
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.config.plugins import VARIABLE, is_named
from fewshot_audio.data import cluster as cluster_room
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.errors import DataError
from tests.data.recordings import SMALL, class_folders, contents
from tests.data.test_prepare import run

ROOT = Path(__file__).parents[2]
distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'fewshot-audio[cluster]'")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, as `dask scheduler` and `dask worker` start them."""
    home = tmp_path_factory.mktemp("cluster")  # the workers' current folder is not the tests'
    dask, file = (sys.executable, "-m", "dask"), ("--scheduler-file", str(home / "scheduler.json"))
    local = ("--host", "127.0.0.1", "--dashboard-address", ":0")
    commands = [(*dask, "scheduler", "--port", "0", *file, *local)]
    commands += [(*dask, "worker", *file, *local, "--nthreads", "1", "--no-nanny")] * 2
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # The workers have the sources' package, as this process has.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT)))}
    processes = [subprocess.Popen(command, cwd=home, env=environment, **quiet) for command in commands]
    try:
        while not (home / "scheduler.json").exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
        address = json.loads((home / "scheduler.json").read_bytes())["address"]
        with distributed.Client(address) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_cluster_makes_the_same_folder(tmp_path: Path, scheduler: str) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    (tmp_path / "source" / "class00" / "broken.wav").write_text("no sound")
    here, there = DatasetFolder(tmp_path / "here"), DatasetFolder(tmp_path / "there")
    run(source, here, waveforms=True)
    report = run(source, there, waveforms=True, workers=None, cluster=scheduler)
    assert report.skipped == {"unreadable": 1}
    assert contents(there) == contents(here)
    with distributed.Client(scheduler) as client:
        processes = set(client.run(os.getpid).values())
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert run(source, there, waveforms=True, workers=None, cluster=scheduler).reused == 45


def test_the_command_hands_the_work_to_a_cluster(tmp_path: Path, scheduler: str) -> None:
    source = class_folders(tmp_path / "source")
    how = ("prepare", "folder", "--source", source.name, "--segment-seconds", "0.25")  # by relative paths

    def command(*more: str) -> str:
        call = [sys.executable, "-c", "from fewshot_audio.cli import main; main()", *how, *more]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("--data-root", "here", "--workers", "1")
    with distributed.Client(scheduler) as client:
        before = client.run(lambda dask_worker: len(dask_worker.state.log))
        assert "45 inputs: 45 prepared" in command("--data-root", "there", "--cluster", scheduler)
        after = client.run(lambda dask_worker: len(dask_worker.state.log))
    assert all(after[worker] > before[worker] for worker in before), "both workers took part"
    there = DatasetFolder(tmp_path / "there" / "source")
    assert contents(there) == contents(DatasetFolder(tmp_path / "here" / "source"))


@dataclass(frozen=True)
class OnlyWithPlugin:
    """A sound that is read only where the package of the sources is named."""

    path: Path

    def read(self, sample_rate: int) -> Decoded:
        if not is_named("field_sounds"):
            raise Rejected(Reason.UNREADABLE, "the package is not named")
        return AudioFile(self.path).read(sample_rate)

    def fingerprint(self) -> str:
        return AudioFile(self.path).fingerprint()


class FromPlugin(ClassFolders):
    """Class folders whose sounds are read by code from outside."""

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        for item in super().recordings():
            assert isinstance(item, Recording)
            yield replace(item, sound=OnlyWithPlugin(self.root / item.source))


def test_workers_on_other_machines_are_told_the_plugins(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FromPlugin(class_folders(tmp_path / "source"))
    with pytest.raises(DataError, match="none of the 45 inputs could be prepared"):
        prepare(source, DatasetFolder(tmp_path / "without"), SMALL, cluster=scheduler)
    monkeypatch.setenv(VARIABLE, "field_sounds")
    assert prepare(source, DatasetFolder(tmp_path / "with"), SMALL, cluster=scheduler).prepared == 45


def test_clusters_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_room, "CONNECT_SECONDS", 0.3)
    source, folder = ClassFolders(class_folders(tmp_path / "source")), DatasetFolder(tmp_path / "x")
    for address, words in (("tcp://127.0.0.1:9", "no Dask scheduler answers"), ("::", "no Dask scheduler answers")):
        with pytest.raises(DataError, match=words):
            prepare(source, folder, SMALL, cluster=address)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(DataError, match="has no workers"),
    ):
        prepare(source, folder, SMALL, cluster=empty.scheduler_address)
    original = builtins.__import__

    def without(name: str, *how: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return original(name, *how)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"fewshot-audio\[cluster\]"):
        prepare(source, folder, SMALL, cluster="tcp://127.0.0.1:9")
