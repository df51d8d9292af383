"""Uploads into samples: decoded side by side in processes of their own, each rejection with its reason."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import UploadFile

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.limits import Limits
from fewshot_audio.serve.messages import RejectedClip


class Intake:
    """Takes uploads in; ``close`` ends its processes."""

    def __init__(self, preprocessing: Preprocessing, limits: Limits, decoder: Decoder) -> None:
        self._preprocessing = preprocessing
        self._limits = limits
        self._decoder = decoder
        self._threads = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")

    async def take(self, uploads: Sequence[UploadFile]) -> tuple[list[Samples], list[RejectedClip]]:
        """Decode uploads: the clips that a recognizer can use, and why it cannot use the others."""
        loop = asyncio.get_running_loop()
        left = _Budget(self._limits.request_seconds)
        jobs = [loop.run_in_executor(self._threads, self._take, upload, left) for upload in uploads]
        outcomes = await asyncio.gather(*jobs)
        clips = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
        rejected = [
            RejectedClip(clip=number, reason=outcome.reason, detail=outcome.detail)
            for number, outcome in enumerate(outcomes)
            if isinstance(outcome, Rejected)
        ]
        return clips, rejected

    def _take(self, upload: UploadFile, left: "_Budget") -> Samples | Rejected:
        try:
            samples = self._decoder.decode(upload.file.read(), upload.filename or "")
            left.spend(len(samples) / self._preprocessing.sample_rate)
            self._preprocessing.normalize(samples)  # silent or too short: said here, clip by clip
        except Rejected as rejected:
            return rejected
        return samples

    def close(self) -> None:
        """End the processes; waits for those at work."""
        self._threads.shutdown(cancel_futures=True)
        self._decoder.close()


class _Budget:
    """Seconds of recordings that a request may still hold in memory."""

    def __init__(self, seconds: float) -> None:
        self._granted = self._left = seconds
        self._lock = threading.Lock()

    def spend(self, seconds: float) -> None:
        with self._lock:
            if seconds > self._left:
                detail = f"the recordings of one upload may last {self._granted:g} s together; send the rest apart"
                raise Rejected(Reason.TOO_LONG, detail)
            self._left -= seconds
