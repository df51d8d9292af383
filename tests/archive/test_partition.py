"""Appending to a part of an index: whatever processes did before, it stays one that is read."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.archive import partition
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import PartitionWriter, journal_path, matrix_path
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.errors import DataError, WriteError
from tests.archive.indexes import DESCRIPTION, WIDTH, recording, write_index


def rows(value: float, windows: int) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.float16]]]:
    return {block: np.full((windows, width), value, np.float16) for block, width in DESCRIPTION.blocks.items()}


def append(folder: Path, own: IndexedRecording, value: float) -> None:
    with PartitionWriter(folder, 0, DESCRIPTION) as writer:
        writer.add_rows(rows(value, own.windows))
        writer.add(own)
        writer.commit()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of 3 and 2 windows."""
    recordings = [recording("a.wav", 3), recording("b.wav", 2)]
    return write_index(tmp_path / "index", recordings, np.ones((5, WIDTH), np.float16))


def test_of_two_recordings_of_one_name_the_last_counts(folder: Path) -> None:
    append(folder, replace(recording("a.wav", 1), modified=2), 3)
    index = Index(folder)
    assert [(own.file, own.modified) for own in index.recordings] == [("b.wav", 1), ("a.wav", 2)]
    np.testing.assert_array_equal(index.rows("embedding", np.arange(3))[:, 0], [1, 1, 3])


def test_a_file_from_before_1970_is_read(folder: Path) -> None:
    append(folder, replace(recording("old.wav", 1), modified=-5), 1)
    assert Index(folder).recordings[-1].modified == -5


def test_a_journal_is_read_once_unless_another_process_appends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = partition.read_partition
    monkeypatch.setattr(partition, "read_partition", lambda *given: reads.append(given) or original(*given))
    partition._left.clear()
    for number, name in enumerate("cde", 1):
        append(folder, recording(f"{name}.wav", number), number)
    assert len(reads) == 1
    partition.remove_recordings(folder, 0, ["d.wav"])  # as another process does
    append(folder, recording("f.wav", 1), 9)
    assert len(reads) == 2
    index = Index(folder)
    assert [own.file for own in index.recordings] == ["a.wav", "b.wav", "c.wav", "e.wav", "f.wav"]
    np.testing.assert_array_equal(index.rows("embedding", np.arange(10))[:, 0], [1] * 6 + [3] * 3 + [9])


def test_a_matrix_that_was_cut_off_is_refused_before_it_is_filled_up(folder: Path) -> None:
    append(folder, recording("c.wav", 1), 1)
    with matrix_path(folder, 0, "timbre").open("rb+") as stream:
        stream.truncate(10)
    with pytest.raises(DataError, match="10 bytes, expected 6 rows"):
        PartitionWriter(folder, 0, DESCRIPTION)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process can have this many bytes: as on a full disk, what is more is an error."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_full_disk_is_told_and_leaves_the_index_as_it_was(folder: Path) -> None:
    journal = journal_path(folder, 0).read_bytes()
    # Less than a buffer: it is written, in vain, when it is flushed, and again when the file is closed.
    with pytest.raises(WriteError, match=r"part-0000\.\w+\.f16: cannot be written"), largest_file(2500):
        append(folder, recording("c.wav", 4), 1)
    assert journal_path(folder, 0).read_bytes() == journal
    append(folder, recording("c.wav", 4), 7)
    np.testing.assert_array_equal(Index(folder).rows("embedding", np.arange(9))[:, 0], [1] * 5 + [7] * 4)
