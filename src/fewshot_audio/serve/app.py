"""The application: routes over a recognizer, behind the gate."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from fastapi import FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from fewshot_audio import __version__
from fewshot_audio.errors import FewShotError
from fewshot_audio.serve.assets import read_assets
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.gate import Gate
from fewshot_audio.serve.intake import Intake
from fewshot_audio.serve.limits import Limits
from fewshot_audio.serve.messages import (
    Classified,
    EmbeddingMap,
    Enrolled,
    ErrorReply,
    Findings,
    Health,
    Rename,
    State,
)
from fewshot_audio.serve.metrics import CONTENT_TYPE, Metrics
from fewshot_audio.serve.refusals import Refusal
from fewshot_audio.serve.studio import BUNDLE_NAME, Studio

log = logging.getLogger(__name__)

BLOCK = 1 << 16

Answers = dict[int | str, dict[str, Any]]
T = TypeVar("T")


def create_app(
    backend: Backend,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: frozenset[str] = frozenset(),
    folder: Path | None = None,
    decoder: Decoder | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        backend: the recognizer; it is used by one thread at a time.
        limits: bounds on what clients may send.
        token: access token that requests must carry; None where only this machine can connect.
        hosts: names under which the server may be addressed, beside IP addresses and ``localhost``.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
        decoder: decodes uploads; by default in processes of its own.
    """
    limits = limits or Limits()
    studio = Studio(backend, limits, folder)
    metrics = Metrics()
    decoder = decoder or Decoder(backend.preprocessing.sample_rate, limits)
    intake = Intake(backend.preprocessing, limits, decoder)
    model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    working = asyncio.Semaphore(limits.working)  # decoded recordings are large: only so many requests hold them

    async def on_model(work: Callable[..., T], *arguments: Any) -> T:
        """Run what touches the recognizer: on one thread, so that requests wait for each other."""
        return await asyncio.get_running_loop().run_in_executor(model_thread, work, *arguments)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        intake.close()
        model_thread.shutdown()

    app = FastAPI(
        title="fewshot-audio",
        version=__version__,
        description="Enroll your own sounds with a few clips each, and recognize them.",
        docs_url=None,  # the built-in pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
        responses={code: {"model": ErrorReply} for code in (401, 403, 429, 503)},
    )
    app.state.studio = studio
    app.add_middleware(Gate, hosts=hosts, token=token, limits=limits, metrics=metrics)
    _add_error_answers(app)
    _add_page(app)

    @app.get("/health", tags=["server"])
    async def health() -> Health:
        """Whether the server runs."""
        return Health(status="ok", version=__version__)

    @app.get("/metrics", tags=["server"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics_text() -> Response:
        """Counters in Prometheus' text format."""
        state = await on_model(studio.state)
        gauges = {
            "classes": ("Enrolled classes.", len(state.classes)),
            "enrolled_clips": ("Enrolled clips.", sum(known.clips for known in state.classes)),
            "unsaved_changes": ("Changes that are not in the bundle's folder.", state.unsaved),
        }
        return Response(metrics.text(gauges), media_type=CONTENT_TYPE)

    @app.get("/api/state", tags=["recognizer"])
    async def state() -> State:
        """What is enrolled, what is saved, what may be sent."""
        return await on_model(studio.state)

    bad_clips: Answers = {code: {"model": ErrorReply} for code in (400, 408, 409, 413, 415, 422)}

    @app.post("/api/classes", tags=["recognizer"], responses=bad_clips)
    async def enroll(
        name: Annotated[str, Form(description="The class; clips are added where it is known.", min_length=1)],
        clips: Annotated[list[UploadFile], File(description="Recordings: wav, flac, ogg, mp3 ...", min_length=1)],
    ) -> Enrolled:
        """Teach a class by recordings. Those that cannot be used are listed with their reasons; the others count."""
        if len(clips) > limits.clips:
            raise Refusal(413, f"{len(clips)} recordings at once; {limits.clips} are the most.")
        name = studio.checked_name(name)
        async with working:
            samples, rejected = await intake.take(clips)
            metrics.clips("rejected", len(rejected))
            if not samples:
                reasons = "; ".join(f"{clip.reason.replace('_', ' ')}: {clip.detail}" for clip in rejected[:3])
                raise Refusal(422, f"None of the recordings can be used ({reasons}).")
            enrolled = await on_model(studio.enroll, name, samples, rejected)
        metrics.clips("enrolled", len(samples))
        return enrolled

    unknown_class: Answers = {code: {"model": ErrorReply} for code in (400, 404, 409, 413, 415, 422)}

    @app.patch("/api/classes", tags=["recognizer"], responses=unknown_class)
    async def rename(name: Annotated[str, Query(description="The class.")], change: Rename) -> State:
        """Give a class another name."""
        return await on_model(studio.rename, name, change.name)

    @app.delete("/api/classes", tags=["recognizer"], responses=unknown_class)
    async def remove(name: Annotated[str, Query(description="The class.")]) -> State:
        """Forget a class and its clips."""
        return await on_model(studio.remove, name)

    @app.post("/api/classify", tags=["recognizer"], responses=bad_clips)
    async def classify(clip: Annotated[UploadFile, File(description="A recording.")]) -> Classified:
        """Say which of the enrolled classes a recording is, or that it is none of them."""
        async with working:
            samples, rejected = await intake.take([clip])
            if rejected:
                metrics.clips("rejected")
                reason = rejected[0].reason.replace("_", " ")
                raise Refusal(422, f"The recording cannot be used: {reason}: {rejected[0].detail}.")
            answer = await on_model(studio.classify, samples[0])
        metrics.clips("classified" if answer.label is not None else "unknown")
        return answer

    @app.get("/api/map", tags=["recognizer"])
    async def embedding_map() -> EmbeddingMap:
        """Where the enrolled clips lie, in two dimensions."""
        return await on_model(studio.embedding_map)

    @app.get("/api/diagnosis", tags=["recognizer"])
    async def diagnosis() -> Findings:
        """What is to be said of the enrolled clips: outliers, classes that collide, silence."""
        return await on_model(studio.diagnosis)

    @app.get(
        "/api/bundle",
        tags=["recognizer"],
        response_class=StreamingResponse,
        responses={200: {"content": {"application/zip": {}}}},
    )
    async def bundle() -> StreamingResponse:
        """The recognizer with all its classes, as a zip archive of its folder."""
        archive = await on_model(studio.bundle)
        headers = {"Content-Disposition": f'attachment; filename="{BUNDLE_NAME}.zip"'}
        return StreamingResponse(_blocks(archive), media_type="application/zip", headers=headers)

    return app


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while block := stream.read(BLOCK):
            yield block


def _add_page(app: FastAPI) -> None:
    assets = read_assets()

    def answer(name: str) -> Response:
        if name not in assets:
            raise Refusal(404, "There is no such file.")
        return Response(assets[name].content, media_type=assets[name].media_type)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return answer("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return answer("docs.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        return answer(name)


def _add_error_answers(app: FastAPI) -> None:
    """Give every error the same shape, and nothing of the server's inside."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return error.response()

    @app.exception_handler(FewShotError)
    async def unusable(_: Request, error: FewShotError) -> Response:
        return Refusal(422, str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        problems = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors()]
        return Refusal(422, "; ".join(problems[:5])).response()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        response = Refusal(error.status_code, str(error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return Refusal(500, "Something went wrong in the server; its log says what.").response()
