"""Giving back the space of what counts no more: what counts stays, whenever the process ends."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.archive import compact, partition
from fewshot_audio.archive.build import update_index
from fewshot_audio.archive.compact import compact_index
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import PartitionWriter, journal_path, remove_recordings
from fewshot_audio.errors import DataError, WriteError
from tests.archive.conftest import HOP, content, job_of
from tests.archive.indexes import DESCRIPTION, WIDTH, recording, write_index
from tests.archive.test_partition import largest_file, rows
from tests.shell import Shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two parts: in each, one recording that counts no more, and one that is in both; one cannot be used."""
    names = ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav", "f.wav")
    recordings = [recording(name, windows) for name, windows in zip(names, (3, 2, 4, 1, 2, 5), strict=True)]
    recordings.append(replace(recording("g.wav", 0), error="damaged: nothing of it can be decoded"))
    embeddings = np.random.default_rng(0).normal(size=(17, WIDTH)).astype(np.float16)
    folder = write_index(tmp_path / "index", recordings, embeddings, parts=2)
    remove_recordings(folder, 0, ["c.wav"])
    remove_recordings(folder, 1, ["b.wav"])
    with PartitionWriter(folder, 1, DESCRIPTION) as writer:
        writer.add_rows(rows(1, 3))
        writer.add(recording("a.wav", 3))
        writer.commit()
    return folder


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if not path.name.startswith(".")}


def test_what_counts_stays_and_the_rest_goes(folder: Path) -> None:
    whole = content(folder)
    assert set(whole) == {"a.wav", "d.wav", "e.wav", "f.wav", "g.wav"}
    assert compact_index(folder) == 4 + 2 + 3
    assert content(folder) == whole
    after = sizes(folder)
    assert sum(size for name, size in after.items() if "embedding" in name) == (3 + 1 + 2 + 5) * WIDTH * 2
    assert {name[:9] for name in after if name != "index.json"} == {"part-0002", "part-0003"}
    assert compact_index(folder) == 0
    assert sizes(folder) == after


@contextmanager
def states(folder: Path, copies: Path, patch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Copies of a folder as it is before each operation, which is how a process leaves it that is killed then."""
    taken: list[Path] = []

    def before(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            taken.append(copies / str(len(taken)))
            shutil.copytree(folder, taken[-1])
            return original(*arguments, **options)

        return call

    with patch.context() as own:
        own.setattr(partition.os, "fsync", before(partition.os.fsync))
        for name in ("add", "commit"):
            own.setattr(PartitionWriter, name, before(getattr(PartitionWriter, name)))
        own.setattr(Path, "unlink", before(Path.unlink))
        yield taken


def test_a_killed_process_loses_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(folder)
    (tmp_path / "copies").mkdir()
    with states(folder, tmp_path / "copies", monkeypatch) as taken:
        compact_index(folder)
    assert len(taken) > 15
    expected = sum(size for name, size in sizes(folder).items() if name.endswith(".f16"))
    for copy in taken:
        assert content(copy) == whole
        compact_index(copy)
        assert content(copy) == whole
        compact_index(copy)  # what is before the least part may be left: it is gone with the next call
        assert sum(size for name, size in sizes(copy).items() if name.endswith(".f16")) == expected


def test_a_reader_is_refused_and_gets_no_other_rows(folder: Path) -> None:
    reader = Index(folder)
    compact_index(folder)
    with pytest.raises(DataError, match="cannot be read"):
        reader.rows("embedding", np.arange(3))
    with pytest.raises(DataError, match="cannot be read"):
        reader.read("embedding", next(reader.pieces()))


def test_numbers_of_parts_do_not_come_back(
    archive: Path, bundle: Path, indexed: Path, tmp_path: Path, here: None
) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    job = job_of(tmp_path / "index", archive, bundle)
    update_index([archive], job, retry=True)
    remove_recordings(job.folder, 0, ["B/short.wav"])
    assert compact_index(job.folder) == 1
    update = update_index([archive], job)
    assert [own.file for own in update.added] == ["B/short.wav"]
    assert content(job.folder) == content(indexed)
    assert not journal_path(job.folder, 0).exists()


def test_a_full_disk_leaves_the_index_as_it_was(folder: Path) -> None:
    whole = content(folder)
    with pytest.raises(WriteError, match=r"part-0003\.timbre\.f16"), largest_file(6 * 240 * 2 - 1):
        compact_index(folder)
    assert content(folder) == whole
    assert {name[:9] for name in sizes(folder) if name != "index.json"} == {"part-0000", "part-0001"}


def test_an_index_that_is_written_to_is_left_alone(folder: Path) -> None:
    with compact.locked(folder / compact.LOCK), pytest.raises(DataError, match="another process is writing"):
        compact_index(folder)


def test_parts_are_numbered_no_further_than_they_are_read(folder: Path) -> None:
    for path in list(folder.glob("part-0001.*")):
        path.rename(path.with_name(path.name.replace("0001", "9998")))
    whole = content(folder)
    with pytest.raises(DataError, match="no numbers are left for parts after 9998"):
        compact_index(folder)
    assert content(folder) == whole


def test_the_command(shell: Shell, archive: Path, bundle: Path, indexed: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "archive")
    shutil.copytree(indexed, tmp_path / "index")
    for path in (*(tmp_path / "archive" / "A").iterdir(), tmp_path / "archive" / "B" / "chirps.flac"):
        path.unlink()
    words = ["index", tmp_path / "archive", "-o", tmp_path / "index", "--bundle", bundle, "--hop", HOP, "--workers", 1]
    told = " ".join(shell(*words).err.split())
    assert "2 unchanged, 3 removed or changed" in told
    assert "of the windows on disk count no more: --compact gives their space back" in told
    assert "windows dropped that counted no more" in " ".join(shell(*words, "--compact").err.split())
    assert "--compact gives" not in " ".join(shell(*words).err.split())
    index = Index(tmp_path / "index")
    assert len(index) == sum(own.windows for own in index.recordings)
