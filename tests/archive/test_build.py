"""Making an index and bringing it up to date: what is in it, whatever happened before."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.archive import build, embed
from fewshot_audio.archive.build import update_index
from fewshot_audio.archive.embed import EmbeddingJob
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import journal_path
from fewshot_audio.audio import decode, recordings
from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.named_encoders import named_encoder
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.windows import embed_windows
from tests import tiny_encoders
from tests.archive.conftest import HOP, content, job_of, write, write_archive
from tests.docs.blocks import ROOT
from tests.recognition import recognizers
from tests.shell import Shell


def test_every_window_has_the_rows_that_a_scan_computes(indexed: Path, archive: Path, bundle: Path) -> None:
    index, recognizer = Index(indexed), Recognizer.load(bundle)
    compared = 0
    for number, recording in enumerate(index.recordings):
        if recording.error:
            continue
        decoding = Decoding(archive / recording.file, recognizer.sample_rate)
        windows = list(embed_windows(recognizer, decoding, HOP, timbre=True, encoders=()))
        assert len(windows) == recording.windows
        for place, window in enumerate(windows):
            name, start, end = index.times(int(index.first_windows[number]) + place)
            assert (name.file, start, end) == (recording.file, window.start / 16_000, window.end / 16_000)
            rows = [index.rows(block, index.first_windows[[number]] + place)[0] for block in ("embedding", "timbre")]
            if window.rows is None:
                assert not any(row.any() for row in rows)
            else:
                assert window.timbre is not None
                for row, exact in zip(rows, (window.rows.reshape(-1), window.timbre[0]), strict=True):
                    np.testing.assert_array_equal(row, exact.astype(np.float16).astype(np.float32))
                compared += 1
    assert compared > 20
    assert len(index) == sum(recording.windows for recording in index.recordings)


def test_what_is_known_of_the_recordings(indexed: Path) -> None:
    by_name = {recording.file: recording for recording in Index(indexed).recordings}
    assert sorted(by_name) == [
        "A/20240201_040000.WAV",
        "A/POND_20240131_235959.wav",
        "B/broken.wav",
        "B/chirps.flac",
        "B/short.wav",
        "B/silent.wav",
    ]
    pond = by_name["A/POND_20240131_235959.wav"]
    assert (pond.site, pond.time, pond.rate, pond.damage) == ("POND", "2024-01-31T23:59:59", 16_000, "")
    assert (by_name["A/20240201_040000.WAV"].site, by_name["B/short.wav"].time) == ("A", "")
    assert by_name["B/broken.wav"].error
    assert by_name["B/broken.wav"].windows == 0
    assert by_name["B/silent.wav"].silence
    assert by_name["B/silent.wav"].windows == 4


@pytest.fixture
def own(tmp_path: Path, here: None) -> Path:
    """An archive that may be changed."""
    return write_archive(tmp_path / "archive")


def test_what_is_new_changed_or_gone_is_brought_up_to_date(own: Path, tmp_path: Path, bundle: Path) -> None:
    job = job_of(tmp_path / "index", own, bundle)
    first = update_index([own], job)
    assert (len(first.added), first.unchanged, first.removed, first.others) == (5, 0, 0, 1)
    assert [recording.file for recording in first.failed] == ["B/broken.wav"]
    write(own / "B" / "new.wav", recognizers.sound(1, 200, 12_000))
    write(own / "B" / "short.wav", recognizers.sound(2, 201, 9000))
    (own / "A" / "20240201_040000.WAV").unlink()
    second = update_index([own], job)
    assert sorted(recording.file for recording in second.added) == ["B/new.wav", "B/short.wav"]
    assert (second.unchanged, second.removed) == (3, 2)
    fresh = job_of(tmp_path / "fresh", own, bundle)
    update_index([own], fresh)
    assert content(job.folder) == content(fresh.folder)
    assert update_index([own], job).added == ()


def test_a_recording_that_cannot_be_used_is_tried_again_if_it_has_changed(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    decoding = embed.Decoding
    monkeypatch.setattr(embed, "Decoding", lambda path, rate: opened.append(path.name) or decoding(path, rate))
    job, broken = job_of(tmp_path / "index", own, bundle), own / "B" / "broken.wav"
    (reason,) = update_index([own], job).failed
    journal, index = journal_path(job.folder, 0).read_bytes(), content(job.folder)
    opened.clear()
    update = update_index([own], job)
    assert (update.failed, update.not_tried, update.removed, update.unchanged) == ((reason,), 1, 0, 5)
    assert (opened, journal_path(job.folder, 0).read_bytes()) == ([], journal)
    update = update_index([own], job, retry=True)
    assert (update.failed, update.not_tried, update.removed) == ((reason,), 0, 0)
    assert (opened, content(job.folder)) == (["broken.wav"], index)
    write(broken, recognizers.sound(1, 3))
    update = update_index([own], job)
    assert ([recording.file for recording in update.added], update.removed) == (["B/broken.wav"], 0)
    assert update_index([own], job).failed == ()


def test_a_recording_that_may_not_be_opened_now_is_tried_again(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever permits it changes neither its size nor its time."""
    job = job_of(tmp_path / "index", own, bundle)
    reading = decode._first_bytes

    def first_bytes(path: Path) -> bytes:
        if path.name == "short.wav":
            raise Rejected.from_os_error(PermissionError(errno.EACCES, "Permission denied"))
        return reading(path)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "_first_bytes", first_bytes)
        denied = [recording.error for recording in update_index([own], job).failed]
    assert "denied: no permission to read it" in denied
    update = update_index([own], job)
    assert ([recording.file for recording in update.added], update.not_tried) == (["B/short.wav"], 1)


def test_other_places_of_the_archive_stay(own: Path, tmp_path: Path, bundle: Path) -> None:
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own / "A"], job)
    update_index([own / "B"], job)
    assert {recording.file[0] for recording in Index(job.folder).recordings} == {"A", "B"}
    with pytest.raises(DataError, match="none of which is in"):
        update_index([own / "B"], job_of(job.folder, own / "B", bundle))


@pytest.mark.parametrize("cut", [1, 3, 8])
def test_an_index_that_was_cut_off_is_completed(own: Path, tmp_path: Path, bundle: Path, cut: int) -> None:
    """As a killed process leaves it: fewer lines, half a line, and rows that no line tells of."""
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own], job)
    whole = content(job.folder)
    journal = journal_path(job.folder, 0)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:cut]) + (lines[cut][:20] if cut < len(lines) else b'{"fi'))
    kept = len(Index(job.folder).recordings)
    assert kept == min(cut, len(lines)) - 1
    update_index([own], job)
    assert content(job.folder) == whole


def test_other_settings_are_refused_by_name(own: Path, tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "index"
    update_index([own], job_of(folder, own, bundle))
    with pytest.raises(DataError, match="made with another hop"):
        update_index([own], job_of(folder, own, bundle, hop=0.5))
    with pytest.raises(ConfigError, match="at most"):
        update_index([own], job_of(folder, own, bundle, hop=0.6))
    with pytest.raises(ConfigError, match="hop of nan s"):
        update_index([own], job_of(folder, own, bundle, hop=float("nan")))
    recognizers.recognizer(encoder="CNN").save(tmp_path / "other")
    with pytest.raises(DataError, match="made with another network"):
        update_index([own], job_of(folder, own, tmp_path / "other"))
    with pytest.raises(DataError, match="neither empty nor an index"):
        update_index([own], job_of(own, own, bundle))
    with pytest.raises(DataError, match="not below"):
        update_index([own], job_of(folder, own / "A", bundle))


def test_enrolling_further_leaves_the_network_the_same(own: Path, tmp_path: Path, bundle: Path) -> None:
    shutil.copytree(bundle, tmp_path / "more")
    recognizer = Recognizer.load(tmp_path / "more")
    recognizer.enroll("another", [recognizers.sound(2, 300)], rate=16_000)
    recognizer.save(tmp_path / "more")
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own], job)
    assert update_index([own], job_of(job.folder, own, tmp_path / "more")).added == ()


KILLED = """
import os, sys
from fewshot_audio.archive import partition
left = int(sys.argv[1])
def counted(original):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return original(*arguments)
    return call
partition.os.fsync = counted(os.fsync)
partition.PartitionWriter.add_rows = counted(partition.PartitionWriter.add_rows)
partition.PartitionWriter.add = counted(partition.PartitionWriter.add)
partition.COMMIT_WINDOWS = 2
from pathlib import Path
import fewshot_audio.archive.build as build
build.run_chunks = lambda work, items, *_: (work(items[n : n + 2], None) for n in range(0, len(items), 2))
from fewshot_audio.archive.embed import EmbeddingJob
folder, archive, bundle = map(Path, sys.argv[2:])
build.update_index([archive], EmbeddingJob(folder, archive, bundle, (), "cpu", 0.25))
"""


def test_a_killed_process_loses_and_repeats_nothing(
    archive: Path, tmp_path: Path, bundle: Path, indexed: Path, here: None
) -> None:
    folder = tmp_path / "index"
    for moment in (5, 12):
        words = [sys.executable, "-c", KILLED, str(moment), folder, archive, bundle]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, env=os.environ, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert 0 < len(Index(folder).recordings) < len(Index(indexed).recordings)
    update_index([archive], job_of(folder, archive, bundle))
    assert content(folder) == content(indexed)


def test_the_command_embeds_in_other_processes(
    shell: Shell, archive: Path, tmp_path: Path, bundle: Path, indexed: Path
) -> None:
    words = ["index", archive, "-o", tmp_path / "index", "--bundle", bundle, "--hop", HOP, "--workers", 1]
    done = shell(*words)
    assert done.code == 1
    assert "cannot be used: B/broken.wav" in done.err
    assert "5 recordings embedded in" in done.err
    assert content(tmp_path / "index") == content(indexed)
    again = " ".join(shell(*words).err.split())
    assert "cannot be used: B/broken.wav" in again
    assert "0 recordings embedded in 0 windows, 5 unchanged, 0 removed or changed, 1 failed (1 of these before" in again
    assert "--workers concerns this machine" in " ".join(shell(*words, "--cluster", "tcp://127.0.0.1:1").err.split())
    (tmp_path / "table.csv").write_text("file,hour\n")
    refused = shell(
        "index", archive, "-o", tmp_path / "other", "--bundle", bundle, "--metadata", tmp_path / "table.csv"
    )
    assert "column 'hour': which an index has by itself" in " ".join(refused.err.split())
    assert not (tmp_path / "other").exists()  # before any work


def test_a_cluster_makes_the_same_index(archive: Path, tmp_path: Path, bundle: Path, indexed: Path) -> None:
    """Two workers at once, which take a partition each; killed workers are in the soak tests."""
    distributed = pytest.importorskip("distributed")
    job = job_of(tmp_path / "index", archive, bundle)
    how = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(**how) as cluster:
        update = update_index([archive], job, cluster=cluster.scheduler_address)
    assert len(update.added) == 5
    assert content(job.folder) == content(indexed)


def test_what_was_done_twice_counts_once(own: Path, tmp_path: Path, bundle: Path) -> None:
    """As when a worker of a cluster was taken for dead, and another did its work again."""
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own], job)
    whole = content(job.folder)
    for path in list(job.folder.glob("part-0000.*")):
        shutil.copy(path, path.with_name(path.name.replace("0000", "0003")))
    assert content(job.folder) == whole
    update_index([own], job)
    assert content(job.folder) == whole
    assert "removed" in journal_path(job.folder, 3).read_text()


def test_what_a_process_did_that_outlived_its_owner_is_not_done_again(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after the next process has listed what there is, and leaves its part of the index to that."""
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own / "A"], job)
    whole = content(job.folder)
    journal = journal_path(job.folder, 0)
    committed = journal.read_bytes()
    journal.write_bytes(committed.splitlines(keepends=True)[0])
    former = build.run_chunks

    def run_later(*arguments: Any) -> Any:
        journal.write_bytes(committed)
        return former(*arguments)

    monkeypatch.setattr(build, "run_chunks", run_later)
    update_index([own / "A"], job)
    assert content(job.folder) == whole
    assert journal.read_bytes() == committed


def test_a_folder_that_cannot_be_read_now_loses_nothing(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own], job)
    whole = content(job.folder)
    listing = recordings.list_folder

    def list_folder(folder: str | Path) -> Any:
        if Path(folder).name == "A":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listing(folder)

    with monkeypatch.context() as patch:
        patch.setattr(recordings, "list_folder", list_folder)
        update = update_index([own], job)
    assert "A" in {recording.file for recording in update.failed}
    assert {name: own for name, own in content(job.folder).items() if name != "A"} == whole
    (own / "A").rename(tmp_path / "A")
    update = update_index([own / "A", own / "B"], job)
    assert "A" in {recording.file for recording in update.failed}
    assert content(job.folder) == whole
    assert update_index([own], job).removed == 2  # the folder is there, and lists no A


def test_the_first_recordings_may_all_be_gone(own: Path, tmp_path: Path, bundle: Path) -> None:
    job = job_of(tmp_path / "index", own, bundle)
    update_index([own], job)
    shutil.rmtree(own / "A")
    for path in sorted((own / "B").iterdir())[:-1]:
        path.unlink()
    write(own / "new.wav", recognizers.sound(0, 9, 3000))
    update_index([own], job)
    assert set(content(job.folder)) == {"B/silent.wav", "new.wav"}


def test_embeddings_that_do_not_fit_fail_their_recording_only(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = embed.narrow

    def narrow(rows: Any) -> Any:
        return original(rows * np.float32(1e9) if len(rows) == 1 else rows)  # of B/short.wav alone

    monkeypatch.setattr(embed, "narrow", narrow)
    job = job_of(tmp_path / "index", own, bundle)
    update = update_index([own], job)
    assert {recording.file: recording.error[:30] for recording in update.failed} == {
        "B/broken.wav": update.failed[0].error[:30],
        "B/short.wav": "an embedding is not finite, or",
    }
    assert len(update.added) == 4


def test_parts_of_other_machines_are_merged_by_moving_them(own: Path, tmp_path: Path, bundle: Path) -> None:
    whole, first, second = (job_of(tmp_path / name, own, bundle) for name in ("whole", "first", "second"))
    update_index([own], whole)
    update_index([own / "A"], first)
    update_index([own / "B"], second)
    for path in second.folder.glob("part-0000.*"):
        path.rename(first.folder / path.name.replace("0000", "0001"))
    assert content(first.folder) == content(whole.folder)
    assert update_index([own], first).added == ()


def test_frozen_encoders_embed_beside_the_network(
    own: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path / name))
    tiny_encoders.install_tiny(sample_rate=16_000)
    job = EmbeddingJob(tmp_path / "index", own, bundle, ("tiny",), "cpu", HOP)
    update_index([own], job)
    index, recognizer = Index(job.folder), Recognizer.load(bundle)
    assert index.description.encoders["tiny"].width == tiny_encoders.WIDTH
    recognizer.encoders = ClipEncoders.of([named_encoder("tiny")])
    (number,) = (n for n, r in enumerate(index.recordings) if r.file == "B/short.wav")
    (window, *_) = embed_windows(
        recognizer, Decoding(own / "B" / "short.wav", 16_000), HOP, timbre=False, encoders=["tiny"]
    )
    rows = index.rows("encoder:tiny", index.first_windows[[number]])
    np.testing.assert_allclose(rows, window.encoded["tiny"], rtol=1e-3, atol=1e-4)
    with pytest.raises(DataError, match="made with other encoders"):
        update_index([own], job_of(job.folder, own, bundle))
