"""The long recordings that a server holds: a bounded number, for a bounded time, and what is done with them."""

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import FewShotError
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.decoder import Decoder, known_extension
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.long_recording import LongRecording, Removed
from fewshot_audio.serve.recording_schemas import Progress, RecordingState, Search
from fewshot_audio.serve.recording_search import search, warm_up

FOLDER_PREFIX = "fewshot-audio-recordings-"

log = logging.getLogger(__name__)


class RecordingStore:
    """Holds long recordings in a temporary folder; its methods may be called by several threads.

    One recording is read at a time, and one is searched; the others wait for their turn.

    Args:
        limits: number of recordings, their length, and how long they are held.
        decoder: decodes them.
    """

    def __init__(self, limits: ServerLimits, decoder: Decoder) -> None:
        self.limits = limits
        self._decoder = decoder
        self._recordings: dict[str, LongRecording] = {}
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # made with the first recording
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="search")

    def add(self, file: IO[bytes], name: str) -> RecordingState:
        """Take a recording, which is decoded from now on.

        Args:
            file: its bytes.
            name: of its file.

        Raises:
            ApiError: there is no room for it, or it is no sound file by its name.
            OSError: there is no space.
        """
        try:
            extension = known_extension(name)
        except Rejected as error:
            raise ApiError(422, f"The recording cannot be used: {error.detail}.") from error
        with self._lock:
            self._make_room()
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, ignore_cleanup_errors=True)
            key = secrets.token_urlsafe(16)
            folder = Path(self._folder.name).resolve() / key
            folder.mkdir()
            recording = self._recordings[key] = LongRecording(key, name, folder)
        upload = folder / f"upload{extension}"
        try:
            with upload.open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
        except BaseException:
            self.remove(key)
            raise
        self._start(self._reading, recording, lambda: self._read(recording, upload), "failed")
        return recording.state()

    def _read(self, recording: LongRecording, upload: Path) -> None:
        recording.read(upload, self._decoder, self.limits)
        with suppress(RuntimeError):  # the server is being closed
            self._searching.submit(warm_up)  # while somebody looks at the recording

    def get(self, key: str) -> LongRecording:
        """A recording, which is held for longer now. Raises ApiError if it is not there."""
        with self._lock:
            recording = self._recordings.get(key)
            if recording is None:
                hours = self.limits.recording_idle_seconds / 3600
                raise ApiError(
                    404, f"There is no such recording. One that nobody asks for is removed after {hours:g} h."
                )
            recording.touched = time.monotonic()
        return recording

    def get_ready(self, key: str) -> LongRecording:
        """A recording that has been read. Raises ApiError if it is not there, or not yet."""
        recording = self.get(key)
        if recording.progress == "failed":
            raise ApiError(422, f"The recording cannot be used: {recording.error}.")
        if recording.progress in ("waiting", "reading"):
            raise ApiError(503, "The recording is still being read. Try again in a moment.")
        return recording

    def search(self, key: str, request: Search) -> RecordingState:
        """Start to search a recording for events like those that are marked.

        Raises:
            ApiError: it is not there or being worked on, or a mark cannot be used.
        """
        recording = self.get_ready(key)
        count, most = len(request.marks), self.limits.marks
        if count > most:
            raise ApiError(413, f"The request has {count} marks; at most {most} are accepted.")
        annotations: Sequence[Annotation] = recording.annotations(request.marks)
        with self._lock:
            if recording.is_at_work:
                raise ApiError(503, "The recording is being searched. Try again in a moment.")
            recording.progress = "learning"
        recording.searched, recording.found_until, recording.error = 0.0, 0.0, None
        self._start(
            self._searching,
            recording,
            lambda: search(recording, annotations, complete_between=request.complete_between),
            "ready",
        )
        return recording.state()

    def remove(self, key: str) -> None:
        """Remove a recording. Raises ApiError if it is not there."""
        recording = self.get(key)
        with self._lock:
            self._recordings.pop(key, None)
        recording.remove()

    def remove_idle(self) -> None:
        """Remove the recordings that nobody has asked for in a while."""
        with self._lock:
            self._remove_untouched(self.limits.recording_idle_seconds, len(self._recordings))

    def close(self) -> None:
        """Remove all recordings; waits for the work on them to stop."""
        with self._lock:
            for recording in self._recordings.values():
                recording.is_removed = True
        for executor in (self._reading, self._searching):
            executor.shutdown(cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()

    def _make_room(self) -> None:
        self._remove_untouched(self.limits.recording_idle_seconds, len(self._recordings))
        if len(self._recordings) >= self.limits.recordings:
            self._remove_untouched(self.limits.recording_spare_seconds, 1)
        if len(self._recordings) >= self.limits.recordings:
            count = len(self._recordings)
            raise ApiError(503, f"The server holds {count} long recordings, the maximum. Close one, or try later.")

    def _remove_untouched(self, seconds: float, most: int) -> None:
        """Remove up to ``most`` recordings that were not asked for in so many seconds, the oldest first."""
        oldest = sorted(self._recordings.values(), key=lambda recording: recording.touched)
        for recording in oldest[:most]:
            if time.monotonic() - recording.touched > seconds:
                del self._recordings[recording.key]
                recording.remove()

    def _start(
        self, executor: Executor, recording: LongRecording, work: Callable[[], None], after_error: Progress
    ) -> None:
        def run() -> None:
            try:
                recording.check_running()
                work()
            except Removed:
                recording.remove()  # files that were written meanwhile
            except Exception as error:  # whatever a library raises: the client is told
                if recording.is_removed:
                    return
                if isinstance(error, FewShotError):
                    recording.error = recording.explained(error)
                elif isinstance(error, OSError):
                    log.error("a long recording: %s", error)
                    recording.error = f"the server's folder for temporary files: {error.strerror or 'it failed'}"
                else:
                    log.exception("a long recording")
                    recording.error = "the server failed; its log says why"
                recording.progress = after_error

        with suppress(RuntimeError):  # the server is being closed
            executor.submit(run)
