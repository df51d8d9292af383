"""Decoding in a process of its own, which can be killed: a crash, or a file that never ends, costs one recording."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from fewshot_audio.audio.decode_worker import BLOCK, DONE, MESSAGE, RATE, REJECTED
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples

WORKER = (sys.executable, "-m", "fewshot_audio.audio.decode_worker")
ADDRESS_SPACE = 1 << 30  # bytes
LARGEST_MESSAGE = 64 << 20  # bytes; a hostile file may have taken over the process
LONGEST_WAIT = 30.0  # seconds for the next block
MAX_DETAIL_LENGTH = 500  # characters of a process's message that are passed on


class SandboxedReader:
    """A sound file that another process decodes: take its ``blocks`` and see ``damage`` afterwards.

    Raises:
        Rejected: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._is_complete = False
        self._process = _idle_process()
        self._process.request({"path": os.fsencode(path.absolute()).hex()})
        kind, payload = self._process.message()
        self._reject(kind, payload)
        self.rate = int(payload)

    def blocks(self) -> Iterator[Samples]:
        """Yield mono samples, block by block. Raises Rejected as soon as decoding fails."""
        while True:
            kind, payload = self._process.message()
            self._reject(kind, payload)
            if kind == DONE:
                self.damage = str(json.loads(payload)["damage"])
                self._is_complete = True
                return
            yield np.frombuffer(payload, np.float32)

    def close(self) -> None:
        """End the process if it has more to say: the rest would be taken for the next recording."""
        if not self._is_complete:
            self._process.end()

    def _reject(self, kind: bytes, payload: bytes) -> None:
        if kind == REJECTED:
            self._is_complete = True
            values = json.loads(payload)
            raise Rejected(Reason(values["reason"]), str(values["detail"])[:MAX_DETAIL_LENGTH])


class _Process:
    """A decoding process and its pipes."""

    def __init__(self) -> None:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._child = subprocess.Popen(
            (*WORKER, str(ADDRESS_SPACE), "0"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it
        )
        self.pid = os.getpid()
        self.ended = False

    def request(self, values: dict[str, str]) -> None:
        assert self._child.stdin
        try:
            self._child.stdin.write(json.dumps(values).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            pass  # ``message`` finds that it has ended

    def message(self) -> tuple[bytes, bytes]:
        """The next message. Raises Rejected if the process crashed, or sends none in time."""
        assert self._child.stdout
        timer = threading.Timer(LONGEST_WAIT, self._kill)
        timer.start()
        try:
            kind, length = MESSAGE.unpack(_exactly(self._child.stdout, MESSAGE.size))
            if length > LARGEST_MESSAGE or kind not in (RATE, BLOCK, DONE, REJECTED):
                raise EOFError
            return kind, _exactly(self._child.stdout, length)
        except EOFError:
            late = not timer.is_alive()
            self.end()
            detail = f"decoding stood still for {LONGEST_WAIT:g} s" if late else "the decoder crashed on it"
            raise Rejected(Reason.DAMAGED, detail) from None
        finally:
            timer.cancel()

    def _kill(self) -> None:
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


_local = threading.local()


def _idle_process() -> _Process:
    """This thread's process, a new one if there is none; it ends with this program, when its input is closed."""
    process: _Process | None = getattr(_local, "process", None)
    if process is None or process.ended or process.pid != os.getpid():
        process = _local.process = _Process()
        atexit.register(process.end)
    return process


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"{len(data)} of {length} bytes")
    return data
