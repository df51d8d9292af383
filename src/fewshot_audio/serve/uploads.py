"""Uploads into clips: decoded in parallel by separate processes, each rejection with its reason."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from starlette.datastructures import UploadFile

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve.api_errors import no_space
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.schemas import DamagedClip, RejectedClip


class UploadReader:
    """Reads uploads; ``close`` ends its processes.

    Args:
        preprocessing: makes the decoded recordings ready for the network.
        limits: bounds on the recordings of a request.
        decoder: decodes the recordings.
    """

    def __init__(self, preprocessing: Preprocessing, limits: ServerLimits, decoder: Decoder) -> None:
        self._preprocessing = preprocessing
        self._limits = limits
        self._decoder = decoder
        self._threads = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")

    async def read(self, uploads: Sequence[UploadFile]) -> "ReadUploads":
        """Decode the uploads of one request: the clips that can be used, and why the others cannot.

        Raises:
            HTTPException: the decoders have no space for temporary files.
        """
        loop = asyncio.get_running_loop()
        budget = _DurationBudget(self._limits.request_seconds)
        jobs = [loop.run_in_executor(self._threads, self._read, upload, budget) for upload in uploads]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)  # all of them end before the uploads do
        clips: list[LoadedClip] = []
        for outcome in outcomes:
            if isinstance(outcome, LoadedClip):
                clips.append(outcome)
            elif not isinstance(outcome, Rejected):
                raise outcome
        rejected = [
            RejectedClip(clip=number, reason=outcome.reason, detail=outcome.detail)
            for number, outcome in enumerate(outcomes)
            if isinstance(outcome, Rejected)
        ]
        damaged = [
            DamagedClip(clip=number, detail=outcome.damage)
            for number, outcome in enumerate(outcomes)
            if isinstance(outcome, LoadedClip) and outcome.damage
        ]
        return ReadUploads(clips, rejected, damaged)

    def _read(self, upload: UploadFile, budget: "_DurationBudget") -> LoadedClip | Rejected:
        try:
            samples, damage = self._decoder.decode(upload.file.read(), upload.filename or "")
            budget.spend(len(samples) / self._preprocessing.recording_rate)
            return replace(LoadedClip.of(samples, self._preprocessing), damage=damage)
        except Rejected as rejected:
            return rejected.with_traceback(None)  # which would hold the samples until the collector of cycles runs
        except OSError as error:
            raise no_space("The recordings cannot be decoded", error) from error

    def close(self) -> None:
        """End the processes; waits for the recordings that are being decoded."""
        self._threads.shutdown(cancel_futures=True)
        self._decoder.close()


class ReadUploads(NamedTuple):
    """The uploads of one request: clips that can be used, recordings that cannot, and damaged ones among the clips."""

    clips: list[LoadedClip]
    rejected: list[RejectedClip]
    damaged: list[DamagedClip]


class _DurationBudget:
    """Seconds of recordings that one request may hold in memory."""

    def __init__(self, seconds: float) -> None:
        self._total = self._remaining = seconds
        self._lock = threading.Lock()

    def spend(self, seconds: float) -> None:
        with self._lock:
            if seconds > self._remaining:
                detail = f"the recordings of one upload may last {self._total:g} s together; send the rest separately"
                raise Rejected(Reason.TOO_LONG, detail)
            self._remaining -= seconds
