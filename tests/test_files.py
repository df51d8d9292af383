"""Atomic writes and locks: a reader sees the old file or the new one, and whoever cannot write says why."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch

from fewshot_audio.errors import ConfigError, DataError, WriteError
from fewshot_audio.files import (
    check_writable,
    locked,
    read_bounded,
    remove_temporary_files,
    write_atomic,
    write_json,
    write_text,
)
from tests.disks import file_size_limit


def figure(stream: IO[bytes]) -> None:
    from matplotlib.figure import Figure

    drawing = Figure()
    drawing.add_subplot().plot(np.random.default_rng(0).normal(size=100))
    drawing.savefig(stream, format="png")


WRITERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "bytes": lambda stream: stream.write(bytes(200_000)),
    "numpy": lambda stream: np.save(stream, np.zeros(50_000)),
    "torch": lambda stream: torch.save(torch.zeros(50_000), stream),
    "matplotlib": figure,
}


@pytest.mark.parametrize("library", WRITERS)
def test_whatever_library_writes_the_reason_is_told_and_the_old_file_is_whole(library: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / "file"
    with file_size_limit(5000), pytest.raises(WriteError) as first:
        write_atomic(path, WRITERS[library])
    assert str(first.value) == f"{path}: cannot be written: File too large"
    assert list(path.parent.iterdir()) == []
    write_atomic(path, WRITERS[library])
    before = path.read_bytes()
    with file_size_limit(5000), pytest.raises(WriteError, match="what was there before is unchanged"):
        write_atomic(path, WRITERS[library])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_error_that_a_library_swallows_is_raised(tmp_path: Path) -> None:
    def swallow(stream: IO[bytes]) -> None:
        for _ in range(100):
            try:
                stream.write(bytes(10_000))
            except OSError:
                return

    with file_size_limit(5000), pytest.raises(WriteError, match="File too large"):
        write_atomic(tmp_path / "file", swallow)
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_passed_on_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        write_atomic(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"x\.json: cannot be written: .*file is a file, expected a folder"):
        write_json(tmp_path / "file" / "deeper" / "x.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="folder: cannot be written: a folder is there, expected a file"):
        write_text(tmp_path / "folder", "")
    with pytest.raises(WriteError, match=r"lock: cannot be written: .* is a file"), locked(tmp_path / "file" / "lock"):
        pass


def test_a_place_is_checked_before_the_work_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    for name in ("old.json", "new.json", "folder/deeper/new.json"):
        check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file/x.json", "file/x.json: cannot be written: .*file is a file, expected a folder"),
        ("file/deeper/x.json", "file/deeper/x.json: cannot be written: .*file is a file, expected a folder"),
        ("folder", "folder: cannot be written: a folder is there, expected a file"),
        ("pipe", "pipe: cannot be written: it is a device or a pipe, expected a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WriteError, match=words):
        check_writable(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_told_before_the_work(tmp_path: Path) -> None:
    with file_size_limit(0), pytest.raises(WriteError) as error:
        check_writable(tmp_path / "out" / "x.json")
    assert str(error.value) == f"{tmp_path / 'out' / 'x.json'}: cannot be written: File too large"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_missing_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="Permission denied"):
        write_text(tmp_path / "locked" / "x", "")


def test_a_private_folder_of_another_user_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, real_stat = tmp_path / "private", os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{private}{os.sep}"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)

    private.mkdir()
    monkeypatch.setattr(os, "stat", stat)
    path = private / "folder" / "x.json"
    with pytest.raises(WriteError) as error:
        check_writable(path)
    assert str(error.value) == f"{path}: cannot be written: Permission denied"


def test_only_leftovers_of_unfinished_writes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "run" / ".fewshot-audio-12345678.tmp").parent.mkdir()
    ours = [tmp_path / ".fewshot-audio-abcd_123.tmp", tmp_path / "run" / ".fewshot-audio-12345678.tmp"]
    others = [tmp_path / name for name in (".mine.tmp", ".fewshot-audio-notes.tmp", "fewshot-audio-abcd_123.tmp")]
    for path in (*ours, *others):
        path.touch()
    (tmp_path / ".fewshot-audio-folder12.tmp").mkdir()
    remove_temporary_files(tmp_path)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in (*others, tmp_path / ".fewshot-audio-folder12.tmp"))


def test_a_lock_is_waited_for_or_refused(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(path):
            held.set()
            release.wait()
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with pytest.raises(DataError, match="in use"), locked(path, DataError("in use")):
        pass
    with pytest.raises(DataError, match="in use"), locked(path, DataError("in use"), seconds=0.1):
        pass
    release.set()
    with locked(path, DataError("in use"), seconds=60):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_no_more_is_read_of_a_file_than_it_may_have(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    assert read_bounded(path, 10) == bytes(10)
    with pytest.raises(DataError) as refused:
        read_bounded(path, 9)
    assert str(refused.value) == f"{path}: more than 9 bytes"
    with pytest.raises(ConfigError, match="more than 9 bytes, expected the weights"):
        read_bounded(path, 9, ConfigError, "the weights")
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # a file with a hole, which memory would not hold
    with pytest.raises(DataError, match="more than 9 bytes"):
        read_bounded(path, 9)
    with pytest.raises(DataError, match="absent: cannot be read"):
        read_bounded(tmp_path / "absent", 9)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_whose_size_nobody_knows_is_read_no_further(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(bytes(10),))
    writer.start()
    with pytest.raises(DataError, match="more than 9 bytes"):
        read_bounded(path, 9)
    writer.join()
