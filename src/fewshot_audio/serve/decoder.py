"""Decoding of untrusted recordings, in processes that can be killed: nothing they do reaches the server."""

import json
import os
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import PurePath
from typing import IO

import numpy as np

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS, Decoded
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.serve.decode_worker import ERROR_NUMBER, NO_SPACE, REPLY, REQUEST, SAMPLES, TEXT
from fewshot_audio.serve.limits import ServerLimits

WORKER = (sys.executable, "-m", "fewshot_audio.serve.decode_worker")
TOKEN_VARIABLE = "FEWSHOT_AUDIO_TOKEN"
MAX_DETAIL_LENGTH = 500  # characters of a process's error message that are passed on


class Decoder:
    """A pool of decoding processes. A process is replaced after a bad recording, so that it cannot harm the next one.

    ``decode`` may be called from several threads; ``close`` ends the processes.

    Args:
        sample_rate: rate of the decoded samples, Hz.
        limits: number of processes; time and memory of each; length of a recording.
        worker: command that starts a process; the default is ``decode_worker``.
    """

    def __init__(self, sample_rate: int, limits: ServerLimits, worker: Sequence[str] = WORKER) -> None:
        self.sample_rate = sample_rate
        self.limits = limits
        self._command = [*worker, str(sample_rate), str(limits.clip_seconds), str(limits.decode_bytes)]
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(limits.decoders):
            self._idle.put(None)  # a place in the pool; its process starts with the first recording

    def decode(self, data: bytes, name: str) -> Decoded:
        """Decode a sound file.

        Args:
            data: its bytes.
            name: its name, of which only the extension is used, and only if it is a known one.

        Returns:
            (samples,) mono float32 at ``sample_rate``, finite, and what is wrong with the file.

        Raises:
            Rejected: as ``fewshot_audio.audio.decode.decode`` does; also if it is not a sound file or too long, if
                decoding took too much time or memory, or if its process crashed.
            OSError: the process cannot be started, or has no space for the file.
        """
        extension = PurePath(name).suffix.lower()
        if extension not in AUDIO_EXTENSIONS:
            raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
        if not data:
            raise Rejected(Reason.EMPTY, "the file has 0 bytes")
        process = self._idle.get()
        reusable = False
        try:
            process = process or _Process(self._command)
            decoded = process.decode(data, extension, self.limits)
            reusable = True
            return decoded
        finally:
            if not reusable and process:
                process.end()
                process = None
            self._idle.put(process)

    def close(self) -> None:
        """End all processes; waits for those that are decoding."""
        for _ in range(self.limits.decoders):
            process = self._idle.get()
            if process:
                process.end()


class _NoSpace(OSError):
    """A decoding process cannot write its files, which is not the recording's fault."""


class _Process:
    """One decoding process, its pipes and its private folder."""

    def __init__(self, command: Sequence[str]) -> None:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fewshot-audio-upload-"))
            # One thread: more would only take memory. All temporary files go to the private folder.
            environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TMPDIR": folder}
            environment.pop(TOKEN_VARIABLE, None)  # a recording may take over the process
            self._child = stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # its own process group: its children are killed with it
                )
            )
            self._close = stack.pop_all().close

    def decode(self, data: bytes, extension: str, limits: ServerLimits) -> Decoded:
        """Decode one file; any failure but a full disk is a rejection of that file."""
        assert self._child.stdin
        assert self._child.stdout
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            self._kill()

        timer = threading.Timer(limits.decode_seconds, stop)
        timer.start()
        try:
            self._child.stdin.write(REQUEST.pack(extension.encode(), len(data)))
            self._child.stdin.write(data)
            self._child.stdin.flush()
            return self._reply(self._child.stdout, limits)
        except _NoSpace:
            raise
        except (OSError, EOFError, ValueError, KeyError, TypeError, struct.error) as error:
            if timed_out.is_set():
                detail = f"decoding took longer than {limits.decode_seconds:g} s"
                raise Rejected(Reason.UNREADABLE, detail) from error
            raise Rejected(Reason.DAMAGED, "the decoder crashed on it") from error
        finally:
            timer.cancel()
            timer.join()

    def _reply(self, stream: IO[bytes], limits: ServerLimits) -> Decoded:
        status, length = REPLY.unpack(_exactly(stream, REPLY.size))
        if length > limits.decode_bytes:  # a hostile file may have taken over the process
            raise ValueError(f"a reply of {length} bytes")
        payload = _exactly(stream, length)
        if status == SAMPLES:
            begin = TEXT.size + TEXT.unpack_from(payload)[0]
            damage = payload[TEXT.size : begin].decode().strip()[:MAX_DETAIL_LENGTH]
            return Decoded(np.frombuffer(payload, dtype=np.float32, offset=begin), damage)
        if status == NO_SPACE:
            number = ERROR_NUMBER.unpack(payload)[0]
            raise _NoSpace(number, os.strerror(number))
        rejection = json.loads(payload)
        raise Rejected(Reason(rejection["reason"]), str(rejection["detail"])[:MAX_DETAIL_LENGTH])

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._child.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
                os.killpg(self._child.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and remove its folder."""
        self._kill()
        with suppress(BrokenPipeError):  # bytes that the process never read
            self._close()


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"{len(data)} of {length} bytes")
    return data
