"""Commands in processes of their own, which begin at once: forked from one that has imported what they need."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.soak.imports"])

PATIENCE = 120  # seconds until a command is taken for stuck
Preparation = Callable[[], object]


class Command:
    """A command of the package that runs.

    Args:
        arguments: those of ``fewshot-audio``.
        prepare: called in the process before the command, to set its limits.
        program: the command's main function.
    """

    def __init__(
        self, arguments: Sequence[str | Path], *prepare: Preparation, program: Callable[..., object] | None = None
    ) -> None:
        self._receiver, sender = CONTEXT.Pipe(duplex=False)
        texts = [str(argument) for argument in arguments]
        self._process = CONTEXT.Process(target=_run, args=(texts, prepare, program, sender))
        self._process.start()
        sender.close()
        self._messages = b""

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless it has ended."""
        if self._process.is_alive() and self._process.pid:
            os.kill(self._process.pid, number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; the exit code (negative for a signal) and what it printed."""
        deadline = time.monotonic() + PATIENCE
        while self._process.is_alive() or self._receiver.poll():
            assert time.monotonic() < deadline, f"stuck: {self._messages.decode(errors='replace')}"
            if not self._receiver.poll(0.005):
                continue
            content = os.read(self._receiver.fileno(), 1 << 16)
            if not content:  # all processes that print have ended
                self._process.join(PATIENCE)
                break
            self._messages += content
        self._receiver.close()
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        return code, self._messages.decode(errors="replace")


def run(arguments: Sequence[str | Path], *prepare: Preparation) -> tuple[int, str]:
    """Run a command; the exit code and what it printed."""
    return Command(arguments, *prepare).end()


def killed(arguments: Sequence[str | Path], number: int, seconds: float, *prepare: Preparation) -> tuple[int, str]:
    """Run a command and send it a signal after that time, or let it end before; the exit code and what it printed."""
    command = Command(arguments, *prepare)
    time.sleep(seconds)
    command.kill(number)
    return command.end()


def check_ended_well(code: int, messages: str, *signals: int) -> bool:
    """Whether it came to its end; fails unless it did or one of the signals ended it, and for a traceback."""
    assert code == 0 or -code in signals, messages
    assert "Traceback" not in messages, messages
    return code == 0


def _run(
    arguments: Sequence[str], prepare: Sequence[Preparation], program: Callable[..., object] | None, sender: Connection
) -> None:
    import torch

    from fewshot_audio.cli import main

    os.dup2(sender.fileno(), 1)
    os.dup2(sender.fileno(), 2)
    # New ones, as of a process that began so: the old ones remember whether one can seek in what was there before.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    torch.set_num_threads(1)
    for step in prepare:
        step()
    (program or main)(arguments)


# -- preparations ------------------------------------------------------------------------------------------------------


def largest_file(size: int) -> Preparation:
    """No file may become larger."""
    return partial(_limit, resource.RLIMIT_FSIZE, size)


def memory(more: int) -> Preparation:
    """The process may take so many bytes more than it has."""
    return partial(_limit_memory, more)


def killed_at(folder: Path, operation: int) -> Preparation:
    """The process is killed just before its n-th operation on a file in a folder: opening, renaming, removing ..."""
    return partial(_kill_at, str(folder), operation)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + more)


def _kill_at(folder: str, operation: int) -> None:
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event.split(".")[0] not in ("open", "os", "shutil"):
            return
        if any(isinstance(value, str | os.PathLike) and str(value).startswith(folder) for value in arguments):
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
