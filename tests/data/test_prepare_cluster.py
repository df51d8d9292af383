"""Preparation on the workers of a Dask cluster."""

import builtins
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.data import cluster as cluster_room
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.errors import DataError
from tests.data.recordings import SMALL, class_folders, contents
from tests.data.test_prepare import run

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'fewshot-audio[cluster]'")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1"
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_makes_the_same_folder(tmp_path: Path, scheduler: str) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    (tmp_path / "source" / "class00" / "broken.wav").write_text("no sound")
    here, there = DatasetFolder(tmp_path / "here"), DatasetFolder(tmp_path / "there")
    run(source, here, waveforms=True)
    report = run(source, there, waveforms=True, workers=None, cluster=scheduler)
    assert report.skipped == {"unreadable": 1}
    assert contents(there) == contents(here)
    with distributed.Client(scheduler) as client:
        log = client.get_worker_logs()
        processes = set(client.run(os.getpid).values())
    assert len(log) == len(processes) == 2
    assert os.getpid() not in processes
    assert run(source, there, waveforms=True, workers=None, cluster=scheduler).reused == 45


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
