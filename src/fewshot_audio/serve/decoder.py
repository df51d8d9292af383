"""Decoding of uploads, in processes that can be killed: nothing they do reaches the server."""

import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
        if not data:
            raise Rejected(Reason.EMPTY, "the file has 0 bytes")
        samples = bytearray()
        with tempfile.TemporaryDirectory(prefix="fewshot-audio-upload-") as folder:
            path = Path(folder, f"upload{known_extension(name)}")
            path.write_bytes(data)
            damage = self.decode_file(
                path, samples.extend, self.sample_rate, self.limits.clip_seconds, self.limits.decode_seconds
            )
        return Decoded(np.frombuffer(samples, np.float32), damage)

    def decode_file(
        self, path: Path, take: Callable[[memoryview], object], sample_rate: int, longest: float, time_limit: float
    ) -> str:
        """Decode a sound file block by block. Neither its header nor the process is believed.

        Args:
            path: the file.
            take: is given the bytes of each block of samples, mono float32.
            sample_rate: of the samples, Hz.
            longest: seconds that it may last.
            time_limit: seconds that decoding may take.

        Returns:
            What is wrong with the file.

        Raises:
            Rejected: as ``decode`` does.
            OSError: the process cannot be started, or ``take`` has no space.
        """
        too_slow = Rejected(Reason.UNREADABLE, f"decoding took longer than {time_limit:g} s")
        size = 0
        with self._process() as process:
            process.request(path, sample_rate)
            with process.time_limit(time_limit, too_slow):
                while (message := process.message(BLOCK, DONE))[0] == BLOCK:
                    block = message[1].data.cast("B")
                    size += len(block)
                    if size > longest * sample_rate * np.float32().itemsize:
                        raise Rejected(Reason.TOO_LONG, f"more than {longest:g} s, which are accepted at most")
                    take(block)
        if not size:
            raise Rejected(Reason.EMPTY, "the recording has 0 samples")
        damage: str = message[1]
        return damage

    @contextmanager
    def _process(self) -> Iterator[DecodingProcess]:
        """A process of the pool; after an error in the block it is ended."""
        process = self._idle.get()
        reusable = False
        try:
            process = process or DecodingProcess(self.limits.decode_bytes, self._worker)
            yield process
            reusable = not process.ended
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


def known_extension(name: str) -> str:
    """The extension of a sound file's name, in lower case. Raises Rejected if it is none that sound files have."""
    extension = PurePath(name).suffix.lower()
    if extension not in AUDIO_EXTENSIONS:
        raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
    return extension
