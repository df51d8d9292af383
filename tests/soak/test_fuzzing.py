"""The fuzzer finds what it is for: errors of other types, crashes, and bounds of time and memory that are broken."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fewshot_audio.errors import DataError
from tests.soak.fuzzing import BATCH, damage, fuzz

VALID = [b"number 12\n" * 5, b"another file\n"]

pytestmark = pytest.mark.soak


def strict(path: Path) -> bytes:
    """Accept valid files only."""
    if path.read_bytes() not in VALID:
        raise DataError("another file")
    return path.read_bytes()


def test_every_file_is_read_or_refused() -> None:
    counts = fuzz(VALID, strict, inputs=BATCH + 7)
    assert counts.read + counts.refused == BATCH + 7
    assert counts.refused > BATCH // 2
    assert counts.slowest > 0


def fail(path: Path) -> None:
    raise KeyError("a traceback")


def allocate(path: Path) -> None:
    bytes(1 << 30)


def unprintable(path: Path) -> None:
    raise DataError("\ud800")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (fail, "a traceback"),
        (allocate, "MemoryError"),
        (unprintable, "UnicodeEncodeError"),
        (lambda path: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (lambda path: time.sleep(60), "too long"),
    ],
    ids=["other error", "memory", "unprintable", "crash", "time"],
)
def test_faults_are_reported_with_the_file(action: Callable[[Path], object], words: str) -> None:
    def read(path: Path) -> None:
        if path.read_bytes() not in VALID:
            action(path)

    with pytest.raises(AssertionError, match=words) as caught:
        fuzz(VALID, read, inputs=50, seconds=0.2)
    match = re.search(r"file (\d+) \((.*?)\)", str(caught.value))
    assert match
    assert Path(match[2]).read_bytes() == damage(VALID, 0, int(match[1])) not in VALID


def test_a_file_that_is_slow_once_is_tried_again(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        if path.read_bytes() not in VALID and not (tmp_path / "mark").exists():
            (tmp_path / "mark").touch()
            time.sleep(60)

    counts = fuzz(VALID, read, inputs=50, seconds=0.2)
    assert (counts.read, counts.refused) == (50, 0)
    assert (tmp_path / "mark").exists()


def test_equal_seeds_give_equal_files() -> None:
    files = [damage(VALID, 3, number) for number in range(100)]
    assert files == [damage(VALID, 3, number) for number in range(100)]
    assert len(set(files)) > 80
    assert files != [damage(VALID, 4, number) for number in range(100)]
