"""What the routes of one application share, and the thread on which its recognizer runs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from fewshot_audio.serve.metrics import Metrics
from fewshot_audio.serve.recording_store import RecordingStore
from fewshot_audio.serve.reviewing import ReviewService
from fewshot_audio.serve.service import RecognizerService
from fewshot_audio.serve.uploads import UploadReader

T = TypeVar("T")


class ServerContext:
    """One server's parts.

    Args:
        service: the recognizer; its methods are called through ``on_model``.
        uploads: decodes uploads; used within ``clip_memory``.
        recordings: the long recordings.
        metrics: the server's counters.
        review: of an index; None if there is none. Its methods are called through ``on_model``, but for sounds and
            pictures.
    """

    def __init__(
        self,
        service: RecognizerService,
        uploads: UploadReader,
        recordings: RecordingStore,
        metrics: Metrics,
        review: ReviewService | None = None,
    ) -> None:
        self.service = service
        self.uploads = uploads
        self.recordings = recordings
        self.metrics = metrics
        self.review = review
        self.clip_memory = asyncio.Semaphore(service.limits.requests_in_memory)  # decoded recordings are large
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def on_model(self, work: Callable[..., T], *arguments: object) -> T:
        """Call ``work(*arguments)`` on the recognizer's thread: one request at a time, the others wait."""
        return await asyncio.get_running_loop().run_in_executor(self._model_thread, work, *arguments)

    async def reply(self, work: Callable[..., BaseModel], *arguments: object) -> Response:
        """Answer with the JSON of ``work(*arguments)``, which is made on the recognizer's thread, too.

        A large answer that is made into JSON on the event loop would hold up all other requests.
        """
        return await self.on_model(lambda: json_response(work(*arguments)))

    def close(self) -> None:
        """Save what is not saved yet, end the decoding processes and the threads; waits for the work in progress."""
        self.recordings.close()
        self.uploads.close()
        self._model_thread.submit(self.service.close).result()
        if self.review is not None:
            self._model_thread.submit(self.review.close).result()
        self._model_thread.shutdown()


def json_response(content: BaseModel) -> Response:
    """Answer with a model's JSON."""
    return Response(content.model_dump_json(), media_type="application/json")


async def _context(request: Request) -> ServerContext:
    context: ServerContext = request.app.state.context
    return context


Context = Annotated[ServerContext, Depends(_context)]
"""A route's parameter of this type is the context of the application that serves the route."""
