"""Decoding in a process of its own, which can be killed: a crash, or a file that never ends, costs one recording."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fewshot_audio.audio.decode_messages import BLOCK, DONE, RATE, NotAMessage, receive
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples

WORKER = (sys.executable, "-P", "-m", "fewshot_audio.audio.decode_worker")  # -P: no modules of the current folder
ADDRESS_SPACE = 1 << 30  # bytes
LONGEST_WAIT = 30.0  # seconds for the next block
OWN_VARIABLES = "FEWSHOT_AUDIO_"  # first part of their names; one is the server's token, which no recording may learn


class DecodingProcess:
    """A bounded process that decodes one recording after the other, until it has ``ended``.

    Args:
        address_space: bytes of memory that it may take.
        command: starts it, with ``address_space`` as a further argument; the default is ``decode_worker``.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, address_space: int = ADDRESS_SPACE, command: Sequence[str] | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # more would only take memory
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._child = subprocess.Popen(
            (*(command or WORKER), str(address_space)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it; its children are killed with it
        )
        self.ended = False
        self._too_slow: Rejected | None = None

    def request(self, path: Path, sample_rate: int | None = None) -> None:
        """Have a file decoded at a rate; None has FFmpeg read it at its own. ``message`` returns what comes of it."""
        assert self._child.stdin
        values = {"path": os.fsencode(path.absolute()).hex(), "sample_rate": sample_rate}
        with suppress(OSError):  # ``message`` finds that it has ended
            self._child.stdin.write(json.dumps(values).encode() + b"\n")
            self._child.stdin.flush()

    def message(self, *kinds: bytes) -> tuple[bytes, Any]:
        """Return the next message, one of these kinds: the rate, an array of samples, or what is wrong with the file.

        Raises:
            Rejected: the recording cannot be decoded, or the process crashed or took longer than its ``time_limit``.
        """
        assert self._child.stdout
        try:
            return receive(self._child.stdout, *kinds)
        except NotAMessage as error:
            self.end()
            raise self._too_slow or Rejected(Reason.DAMAGED, "the decoder crashed on it") from error

    @contextmanager
    def time_limit(self, seconds: float, too_slow: Rejected) -> Iterator[None]:
        """Kill the process after so many seconds; then the ``message`` that is waited for raises ``too_slow``."""

        def stop() -> None:
            self._too_slow = too_slow
            self._kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if self._too_slow:  # even if the last message was in time
                self.end()

    def _kill(self) -> None:
        if self._child.returncode is not None:  # ``end`` has waited for it: another process may have its number now
            return
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            if sys.platform == "win32":
                self._child.kill()
            else:
                os.killpg(self._child.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process."""
        self.ended = True
        self._kill()
        for pipe in (self._child.stdin, self._child.stdout):
            with suppress(OSError):
                assert pipe
                pipe.close()
        self._child.wait()


class SandboxedReader:
    """A sound file that another process decodes: take its ``blocks`` and see ``damage`` afterwards.

    Raises:
        Rejected: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._is_complete = False
        self._process = _idle_process()
        self._process.request(path)
        self.rate: int = self._message(RATE)[1]

    def blocks(self) -> Iterator[Samples]:
        """Yield mono samples, block by block. Raises Rejected as soon as decoding fails."""
        while True:
            kind, value = self._message(BLOCK, DONE)
            if kind == DONE:
                self.damage, self._is_complete = value, True
                return
            yield value

    def close(self) -> None:
        """End the process if it has more to say: the rest would be taken for the next recording."""
        if not self._is_complete:
            self._process.end()

    def _message(self, *kinds: bytes) -> tuple[bytes, Any]:
        stands_still = Rejected(Reason.DAMAGED, f"decoding stood still for {LONGEST_WAIT:g} s")
        try:
            with self._process.time_limit(LONGEST_WAIT, stands_still):
                return self._process.message(*kinds)
        except Rejected:
            self._is_complete = True
            raise


_local = threading.local()


def _idle_process() -> DecodingProcess:
    """This thread's process, a new one if there is none; it ends with this program, when its input is closed."""
    own: tuple[int, DecodingProcess] | None = getattr(_local, "process", None)
    if own is None or own[0] != os.getpid() or own[1].ended:
        own = _local.process = os.getpid(), DecodingProcess()
        atexit.register(own[1].end)
    return own[1]
