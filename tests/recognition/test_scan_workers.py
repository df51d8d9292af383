"""Scans by several processes and by a cluster: the answers of one process, each recording answered once."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio import Recognizer
from fewshot_audio.errors import DataError
from fewshot_audio.recognition import scan_workers
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.results import FileResult
from fewshot_audio.recognition.scan import scan
from fewshot_audio.recognition.scan_journal import ScanJournal
from fewshot_audio.recognition.scan_workers import ScanJob, scan_by_workers
from tests.recognition import recognizers
from tests.recognition.sounds import write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
HOP = 0.5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan") / "bundle"
    recognizers.recognizer().save(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    paths = [write_wav(folder / f"{kind}.wav", recognizers.sound(kind, 90 + kind), 16_000) for kind in range(3)]
    (folder / "broken.wav").write_text("no sound")
    return [*paths, folder / "broken.wav", folder / "missing.wav"]


@pytest.mark.parametrize("hop", [None, HOP])
def test_processes_answer_as_one_does(hop: float | None, bundle: Path, files: list[Path]) -> None:
    options = ScanOptions(hop)
    expected = list(scan(Recognizer.load(bundle), files, options))
    assert [result.error is None for result in expected] == [True] * 3 + [False] * 2
    results = scan_by_workers(ScanJob.of(bundle, "cpu", options), files, workers=2)
    assert [_exact(result) for result in results] == [_exact(result) for result in expected]


def test_a_cluster_answers_as_one_process_does(
    bundle: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By names that are relative to this process's folder, which is not that of the workers."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(files[0].parent)
    names = [Path(path.name) for path in files]
    expected = list(scan(Recognizer.load(bundle), names, ScanOptions()))
    how = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**how) as cluster:
        job = ScanJob.of(bundle, "cpu", ScanOptions())
        results = scan_by_workers(job, names, cluster=cluster.scheduler_address)
    assert [_exact(result) for result in results] == [_exact(result) for result in expected]


def test_what_a_journal_has_is_not_answered_again(
    bundle: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ScanJob.of(bundle, "cpu", ScanOptions())
    journal = ScanJournal(tmp_path / "journal", job.fingerprint)
    first = scan_by_workers(job, files[:3], workers=2, journal=journal)
    again = ScanJournal(tmp_path / "journal", job.fingerprint)
    assert len(again.results) == 3
    answered: list[Path] = []

    def run(work: Any, items: list[Path], *_: Any) -> Any:
        answered.extend(items)
        yield work(items, os.getpid())

    monkeypatch.setattr(scan_workers, "run_chunks", run)
    results = scan_by_workers(job, files, workers=2, journal=again)
    assert results[:3] == first
    assert answered == files[3:]


def test_a_bundle_that_changed_since_is_refused(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    own = tmp_path / "bundle"
    Recognizer.load(bundle).save(own)
    job = ScanJob.of(own, "cpu", ScanOptions())
    description = json.loads((own / "recognizer.json").read_text())
    (own / "recognizer.json").write_text(json.dumps(description, indent=3))
    with pytest.raises(DataError, match="it has changed since this scan began"):
        scan_by_workers(job, files, workers=1)


def test_the_command_shares_the_files(bundle: Path, files: list[Path], shell: Shell, tmp_path: Path) -> None:
    line = ["classify", bundle, *files[:4], "--format", "csv", "-o"]
    assert shell(*line, tmp_path / "one.csv").code == 1  # a broken recording
    outcome = shell(*line, tmp_path / "two.csv", "--workers", 2)
    assert (outcome.code, "no sound" not in outcome.err) == (1, True)
    assert (tmp_path / "two.csv").read_text() == (tmp_path / "one.csv").read_text()
    assert not (tmp_path / "two.csv.journal").exists()
    refused = shell(*line, tmp_path / "three.csv", "--workers", 2, "--cluster", "tcp://127.0.0.1:1")
    assert (refused.code, "--workers concerns this machine" in " ".join(refused.err.split())) == (2, True)
    refused = shell("classify", bundle, "--index", tmp_path, "--workers", 2)
    assert (refused.code, "concern sound files" in " ".join(refused.err.split())) == (2, True)


def _exact(result: FileResult) -> tuple[object, ...]:
    """A result with its numbers rounded as little as threads differ."""
    events = [
        (event.start, event.end, event.label, [round(value, 5) for value in event.probabilities.values()])
        for event in result.events
    ]
    return (result.file, result.seconds, result.windows, result.unknown, result.silent, events, result.error)
