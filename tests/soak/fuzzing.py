"""Fuzzing: thousands of damaged files, each of which is read, or refused in words, in bounded time and memory.

The files are derived from valid ones by a seed and a number each, so that every one can be made again. They are read in
child processes, which have little memory and are killed when one file takes too long.
"""

import faulthandler
import mmap
import os
import random
import re
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fewshot_audio.errors import FewShotError

Read = Callable[[Path], object]

BATCH = 500  # files for one child process
TOO_LONG = "takes too long"
TRIES = 3  # for a file that takes too long: the machine may have had other work
LONGEST_MESSAGE = 20_000  # characters
NUMBERS = b"0 1 -1 2 255 65536 2147483648 9223372036854775807 111111111111111111111111111111 1e999 nan".split()
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)


@dataclass(frozen=True)
class FuzzCounts:
    """How many files were read and how many refused, and the seconds of the slowest."""

    read: int
    refused: int
    slowest: float


def fuzz(
    valid: Sequence[bytes],
    read: Read,
    accepted: tuple[type[Exception], ...] = (FewShotError,),
    inputs: int = 10_000,
    seed: int = 0,
    seconds: float = 1.0,
    memory: int = 256 << 20,
    name: str = "input",
) -> FuzzCounts:
    """Read damaged copies of valid files.

    Args:
        valid: the contents of valid files; every one must be read without an error.
        read: reads a file.
        accepted: the errors by which ``read`` may refuse one.
        inputs: how many damaged files.
        seed: of the damage; the numbers of the files do the rest.
        seconds: how long one file may take.
        memory: bytes of address space that ``read`` may add to those of the process.
        name: of the file; a path if ``read`` wants folders around it.

    Raises:
        AssertionError: an error of another type, a message that cannot be printed, a crash, or a bound that was broken;
            it names a copy of the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for content in valid:
            path.write_bytes(content)
            read(path)
    return read_all(lambda number: damage(valid, seed, number), inputs, read, accepted, seconds, memory, name)


def read_all(
    content: Callable[[int], bytes],
    inputs: int,
    read: Read,
    accepted: tuple[type[Exception], ...] = (FewShotError,),
    seconds: float = 1.0,
    memory: int = 256 << 20,
    name: str = "input",
) -> FuzzCounts:
    """Read files within the bounds of ``fuzz``, which has the same arguments and errors.

    Args:
        content: returns the content of the file of a number; the same one whenever it is asked.
        inputs: how many files.
    """
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    path = folder / "files" / name
    path.parent.mkdir(parents=True)
    reader = _Reader(path, folder / "traceback.txt", read, accepted, seconds, memory)
    slow: Counter[int] = Counter()
    begin = 0
    while begin < inputs:
        failure = reader.read_batch(content, range(begin, min(begin + BATCH, inputs)))
        stop = reader.progress.number
        if failure == TOO_LONG:
            slow[stop] += 1
        if failure and (failure != TOO_LONG or slow[stop] == TRIES):
            path.write_bytes(content(stop))
            raise AssertionError(f"file {stop} ({path}): {failure}")
        begin = stop if failure else begin + BATCH
    shutil.rmtree(folder)
    return reader.progress.counts()


def damage(valid: Sequence[bytes], seed: int, number: int) -> bytes:
    """Return one of the valid files, damaged in one to four places; equal arguments give equal bytes."""
    chance = random.Random(f"{seed} {number}")
    content = bytearray(chance.choice(valid))
    longest = 4 * max(map(len, valid)) + 64
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        chance.choice(_DAMAGES)(content, chance, valid)
    return bytes(content[:longest])


# -- damages: each changes the content in place ------------------------------------------------------------------------


def _span(content: bytearray, chance: random.Random, longest: int) -> slice:
    begin = chance.randint(0, len(content))
    return slice(begin, min(begin + chance.randint(1, longest), len(content)))


def _flip(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    for _ in range(chance.randint(1, 8)):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _insert(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    begin = chance.randint(0, len(content))
    content[begin:begin] = chance.randbytes(chance.randint(1, 16))


def _delete(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    del content[_span(content, chance, 64)]


def _repeat(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    span = _span(content, chance, 64)
    content[span.start : span.start] = content[span] * chance.choice((1, 2, 50))


def _move(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    content[_span(content, chance, 64)] = content[_span(content, chance, 64)]


def _truncate(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    del content[chance.randint(0, len(content)) :]


def _splice(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    other = chance.choice(valid)
    content[chance.randint(0, len(content)) :] = other[chance.randint(0, len(other)) :]


def _number(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    """Replace a decimal number, as headers and tables have them."""
    if places := list(re.finditer(rb"\d+", content)):
        place = chance.choice(places)
        content[place.start() : place.end()] = chance.choice(NUMBERS)


def _word(content: bytearray, chance: random.Random, valid: Sequence[bytes]) -> None:
    """Overwrite a binary number, such as a length."""
    size = chance.choice((1, 2, 4, 8))
    begin = chance.randint(0, len(content))
    word = (chance.choice(WORDS) % 256**size).to_bytes(size, "little")
    content[begin : begin + size] = word if chance.random() < 0.5 else word[::-1]


_DAMAGES = (_flip, _insert, _delete, _repeat, _move, _truncate, _splice, _number, _word)


# -- child processes ---------------------------------------------------------------------------------------------------


_LAYOUT = struct.Struct("qqqd")  # the number of a file, and counts


class _Progress:
    """The file that a child process is at, and its counts, in memory that it shares with its parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LAYOUT.size)

    @property
    def number(self) -> int:
        return int(_LAYOUT.unpack_from(self._memory)[0])

    def counts(self) -> FuzzCounts:
        return FuzzCounts(*_LAYOUT.unpack_from(self._memory)[1:])

    def begin(self, number: int) -> None:
        self._write(number, self.counts())

    def add(self, is_read: bool, seconds: float) -> None:
        counts = self.counts()
        read, refused = counts.read + is_read, counts.refused + (not is_read)
        self._write(self.number, FuzzCounts(read, refused, max(counts.slowest, seconds)))

    def _write(self, number: int, counts: FuzzCounts) -> None:
        _LAYOUT.pack_into(self._memory, 0, number, counts.read, counts.refused, counts.slowest)


@dataclass(frozen=True)
class _Reader:
    """Reads files one after the other in child processes."""

    path: Path
    report: Path
    read: Read
    accepted: tuple[type[Exception], ...]
    seconds: float
    memory: int
    progress: _Progress = field(default_factory=_Progress)

    def read_batch(self, content: Callable[[int], bytes], numbers: range) -> str:
        """Read some files in one child process; returns what is wrong with the one that ``progress`` then names."""
        self.progress.begin(numbers.start)
        with warnings.catch_warnings():  # later versions of Python warn of other threads, which the child does not need
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child:
            return self._watch(child)
        status, unlimited = 1, resource.getrlimit(resource.RLIMIT_AS)
        try:
            faulthandler.disable()  # the parent reports a crash
            _limit_memory(self.memory)
            for number in numbers:
                self.progress.begin(number)
                self.path.write_bytes(content(number))
                began = time.monotonic()
                self.progress.add(self._is_read(), time.monotonic() - began)
            status = 0
        except BaseException:  # noqa: BLE001 - the parent reports it, whatever it is
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
            self.report.write_text(traceback.format_exc(), errors="backslashreplace")
        finally:
            os._exit(status)

    def _is_read(self) -> bool:
        try:
            self.read(self.path)
        except self.accepted as error:
            message = str(error)
            message.encode()  # half of a character could not be printed
            assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
            return False
        return True

    def _watch(self, child: int) -> str:
        """Wait for the child; kill it if it stays too long at one file."""
        number, began = self.progress.number, time.monotonic()
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if self.progress.number != number:
                number, began = self.progress.number, time.monotonic()
            elif time.monotonic() - began > self.seconds:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return TOO_LONG
            time.sleep(0.005)
        if os.WIFSIGNALED(status):
            return f"the process died of {signal.Signals(os.WTERMSIG(status)).name}"
        return self.report.read_text() if os.WEXITSTATUS(status) else ""


def _limit_memory(memory: int) -> None:
    """Bound the address space of this process to what it has, and so many bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * mmap.PAGESIZE + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
