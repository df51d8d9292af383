"""Decoding of uploads, in processes that can be killed: nothing they do reaches the server."""

import queue
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS, Decoded
from fewshot_audio.audio.decode_messages import BLOCK, DONE
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.sandbox import DecodingProcess
from fewshot_audio.serve.limits import ServerLimits


class Decoder:
    """A pool of decoding processes. A process is replaced after a bad recording, so that it cannot harm the next one.

    ``decode`` may be called from several threads; ``close`` ends the processes.

    Args:
        sample_rate: rate of the decoded samples, Hz.
        limits: number of processes; time and memory of each; length of a recording.
        worker: command that starts a process; the default is ``decode_worker``.
    """

    def __init__(self, sample_rate: int, limits: ServerLimits, worker: Sequence[str] | None = None) -> None:
        self.sample_rate = sample_rate
        self.limits = limits
        self._worker = worker
        self._idle: queue.SimpleQueue[DecodingProcess | None] = queue.SimpleQueue()
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
            OSError: the process cannot be started, or there is no space for the file.
        """
        extension = PurePath(name).suffix.lower()
        if extension not in AUDIO_EXTENSIONS:
            raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
        if not data:
            raise Rejected(Reason.EMPTY, "the file has 0 bytes")
        process = self._idle.get()
        reusable = False
        try:
            process = process or DecodingProcess(self.limits.decode_bytes, self._worker)
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-upload-") as folder:
                path = Path(folder, f"upload{extension}")
                path.write_bytes(data)
                decoded = self._decoded(process, path)
            reusable = not process.ended
            return decoded
        finally:
            if not reusable and process:
                process.end()
                process = None
            self._idle.put(process)

    def _decoded(self, process: DecodingProcess, path: Path) -> Decoded:
        """Take what the process sends, as far as that is not too long: neither header nor process is believed."""
        limits = self.limits
        too_slow = Rejected(Reason.UNREADABLE, f"decoding took longer than {limits.decode_seconds:g} s")
        samples = bytearray()
        process.request(path, self.sample_rate)
        with process.time_limit(limits.decode_seconds, too_slow):
            while (message := process.message(BLOCK, DONE))[0] == BLOCK:
                samples += message[1].data
                if len(samples) > limits.clip_seconds * self.sample_rate * np.float32().itemsize:
                    detail = f"more than {limits.clip_seconds:g} s, which are accepted at most"
                    raise Rejected(Reason.TOO_LONG, detail)
        if not samples:
            raise Rejected(Reason.EMPTY, "the recording has 0 samples")
        return Decoded(np.frombuffer(samples, np.float32), message[1])

    def close(self) -> None:
        """End all processes; waits for those that are decoding."""
        for _ in range(self.limits.decoders):
            process = self._idle.get()
            if process:
                process.end()
