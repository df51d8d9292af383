"""The application: a recognizer's service, the routes over it, and the guard around them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from fewshot_audio import __version__
from fewshot_audio.archive.review.review import Review
from fewshot_audio.serve.api_errors import add_error_handlers, error_responses
from fewshot_audio.serve.audio_routes import audio_routes
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.context import ServerContext
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.guard import RequestGuard
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.metrics import Metrics
from fewshot_audio.serve.recording_routes import recording_routes
from fewshot_audio.serve.recording_store import RecordingStore
from fewshot_audio.serve.review_routes import review_routes
from fewshot_audio.serve.reviewing import ReviewService
from fewshot_audio.serve.routes import recognizer_routes, server_routes
from fewshot_audio.serve.service import RecognizerService
from fewshot_audio.serve.static_page import page_routes
from fewshot_audio.serve.uploads import UploadReader

IDLE_CHECK_SECONDS = 60.0


def create_app(
    backend: Backend,
    *,
    limits: ServerLimits | None = None,
    token: str | None = None,
    hosts: frozenset[str] = frozenset(),
    folder: Path | None = None,
    decoder: Decoder | None = None,
    review: Review | None = None,
    archive: Path | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        backend: the recognizer; it is used by one thread at a time.
        limits: bounds on what clients may send; None for the default ones.
        token: access token that requests must carry; None if only this machine can connect.
        hosts: names under which the server may be addressed, besides IP addresses and ``localhost``.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
        decoder: decodes uploads; None for one with its own processes.
        review: of an index, by the same recognizer; None if there is none.
        archive: folder that the index's names of recordings are below; needed with ``review``.
    """
    limits = limits or ServerLimits()
    preprocessing = backend.preprocessing
    decoder = decoder or Decoder(preprocessing.recording_rate, limits)
    service = RecognizerService(backend, limits, folder)
    context = ServerContext(
        service,
        UploadReader(preprocessing, limits, decoder),
        RecordingStore(limits, decoder),
        Metrics(),
        ReviewService(review, service, archive) if review is not None and archive is not None else None,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        removing = asyncio.create_task(_remove_idle_recordings(context.recordings))
        yield
        removing.cancel()
        context.close()

    app = FastAPI(
        title="fewshot-audio",
        version=__version__,
        description="Enroll your own sounds with a few clips each, and recognize them.",
        docs_url=None,  # the built-in pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        lifespan=lifespan,
        responses=error_responses(401, 403, 429, 503),
    )
    app.state.context = context
    app.add_middleware(RequestGuard, hosts=hosts, token=token, limits=limits, metrics=context.metrics)
    add_error_handlers(app)
    for router in (page_routes(), server_routes, recognizer_routes, audio_routes, recording_routes, review_routes):
        app.include_router(router)
    app.openapi()  # made once, and not by a request that others would wait for
    return app


async def _remove_idle_recordings(recordings: RecordingStore) -> None:
    while True:
        await asyncio.sleep(IDLE_CHECK_SECONDS)
        await asyncio.to_thread(recordings.remove_idle)
