"""The JSON API's routes. Function names and docstrings are part of the API's description (``/openapi.json``)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import IO, Annotated, TypeVar

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.responses import StreamingResponse

from fewshot_audio import __version__
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import ApiError, error_responses
from fewshot_audio.serve.bundle_archive import BUNDLE_NAME
from fewshot_audio.serve.context import Context, ServerContext, json_response
from fewshot_audio.serve.form import FormRoute
from fewshot_audio.serve.metrics import CONTENT_TYPE

BLOCK = 1 << 16  # bytes of a download that are in memory at once
CLIP_ERRORS = error_responses(400, 408, 409, 413, 415, 422, 507)
CLASS_ERRORS = error_responses(400, 404, 409, 413, 415, 422)

T = TypeVar("T")
ClassName = Annotated[str, Query(description="The class.")]
ClipName = Annotated[str, Query(description="The clip's name in the state.")]
Revision = Annotated[
    int | None,
    Query(description="Of the state in which you saw the class: if it has changed since, the answer is 409."),
]

server_routes = APIRouter(tags=["server"])
recognizer_routes = APIRouter(prefix="/api", tags=["recognizer"], route_class=FormRoute)


@server_routes.get("/health")
async def health() -> schemas.Health:
    """Whether the server runs."""
    return schemas.Health(status="ok", version=__version__)


@server_routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics_text(context: Context) -> Response:
    """Counters in Prometheus' text format."""
    state = await context.on_model(context.service.state)
    gauges = {
        "classes": ("Enrolled classes.", len(state.classes)),
        "enrolled_clips": ("Enrolled clips.", sum(enrolled_class.clips for enrolled_class in state.classes)),
        "unsaved_changes": ("Changes that are not in the bundle's folder.", state.unsaved),
    }
    return Response(context.metrics.text(gauges), media_type=CONTENT_TYPE)


@recognizer_routes.get("/state", response_model=schemas.State)
async def state(context: Context) -> Response:
    """The enrolled classes, unsaved changes, and limits on what may be sent."""
    return await context.reply(context.service.state)


@recognizer_routes.post("/classes", response_model=schemas.EnrollReply, responses=CLIP_ERRORS)
async def enroll(
    context: Context,
    name: Annotated[str, Form(description="The class; clips are added if it exists.", min_length=1)],
    clips: Annotated[list[UploadFile], File(description="Recordings: wav, flac, ogg, mp3 ...", min_length=1)],
) -> Response:
    """Add recordings to a class. Those that cannot be used are listed with their reasons; the others are enrolled.

    A damaged recording is used as far as it goes, and listed too.
    """
    name = context.service.checked_name(name)
    usable, rejected, damaged, (state, duplicates) = await _enroll(
        context, clips, partial(context.service.enroll, name)
    )
    reply = schemas.EnrollReply(
        name=name,
        enrolled=len(usable),
        rejected=rejected,
        damaged=damaged,
        duplicates=[one.model_copy(update={"clip": usable[one.clip]}) for one in duplicates],
        state=state,
    )
    return json_response(reply)


async def _enroll(
    context: ServerContext, uploads: list[UploadFile], enroll: Callable[[list[LoadedClip]], T]
) -> tuple[list[int], list[schemas.RejectedClip], list[schemas.DamagedClip], T]:
    """Decode recordings and enroll those that can be used, by the names of their files.

    Args:
        context: the server's parts.
        uploads: the recordings.
        enroll: takes the usable ones, on the recognizer's thread.

    Returns:
        The numbers of those that can be used, why the others cannot, what is damaged, and what ``enroll`` returns.
    """
    limit = context.service.limits.clips_per_request
    if len(uploads) > limit:
        raise ApiError(413, f"The request has {len(uploads)} recordings; at most {limit} are accepted.")
    async with context.clip_memory:
        loaded, rejected, damaged = await context.uploads.read(uploads)
        context.metrics.clips("rejected", len(rejected))
        if not loaded:
            raise ApiError(422, f"None of the recordings can be used ({'; '.join(map(_reason, rejected[:3]))}).")
        unusable = {clip.clip for clip in rejected}
        usable = [number for number in range(len(uploads)) if number not in unusable]
        names = [context.service.clip_name(uploads[number].filename or "") for number in usable]
        named = [replace(clip, name=name) for clip, name in zip(loaded, names, strict=True)]
        outcome = await context.on_model(enroll, named)
    context.metrics.clips("enrolled", len(loaded))
    return usable, rejected, damaged, outcome


@recognizer_routes.patch("/classes", response_model=schemas.State, responses=CLASS_ERRORS)
async def rename(context: Context, name: ClassName, change: schemas.Rename, revision: Revision = None) -> Response:
    """Give a class another name."""
    return await context.reply(context.service.rename, name, change.name, revision)


@recognizer_routes.delete("/classes", response_model=schemas.State, responses=CLASS_ERRORS)
async def remove(context: Context, name: ClassName, revision: Revision = None) -> Response:
    """Remove a class and its clips."""
    return await context.reply(context.service.remove, name, revision)


@recognizer_routes.put("/classes/ignored", response_model=schemas.State, responses=CLASS_ERRORS)
async def ignore(
    context: Context,
    name: ClassName,
    ignored: Annotated[bool, Query(description="Whether the class is never to be an answer.")],
    revision: Revision = None,
) -> Response:
    """Ignore a class: its sounds are known, and never an answer. Or let it be an answer again."""
    return await context.reply(context.service.ignore, name, ignored, revision)


@recognizer_routes.patch("/classes/clips", response_model=schemas.State, responses=CLASS_ERRORS)
async def change_clip(
    context: Context, name: ClassName, clip: ClipName, change: schemas.ClipChange, revision: Revision = None
) -> Response:
    """Give a clip another name, or put it into another class, new or not. A class without clips is gone."""
    if (change.name is None) == (change.new_class is None):
        raise ApiError(422, "Expected either a name or a new_class.")
    if change.name is not None:
        return await context.reply(context.service.rename_clip, name, clip, change.name, revision)
    return await context.reply(context.service.move_clip, name, clip, change.new_class, revision)


@recognizer_routes.delete("/classes/clips", response_model=schemas.State, responses=CLASS_ERRORS)
async def remove_clip(context: Context, name: ClassName, clip: ClipName, revision: Revision = None) -> Response:
    """Remove a clip of a class; with its only clip, the class."""
    return await context.reply(context.service.remove_clip, name, clip, revision)


@recognizer_routes.post("/undo", response_model=schemas.State, responses=CLASS_ERRORS)
async def undo(
    context: Context,
    revision: Annotated[
        int | None, Query(description="Of the state that you saw: if anything has changed since, the answer is 409.")
    ] = None,
) -> Response:
    """Take the last change back; the state says what that was."""
    return await context.reply(context.service.undo, revision)


@recognizer_routes.post("/background", response_model=schemas.BackgroundReply, responses=CLIP_ERRORS)
async def enroll_background(
    context: Context,
    clips: Annotated[list[UploadFile], File(description="Recordings without any of the classes.", min_length=1)],
) -> Response:
    """Add recordings to the background: sounds that are known, and never an answer.

    Of each, up to 64 segments are kept. Recordings that cannot be used are listed with their reasons.
    """
    usable, rejected, damaged, state = await _enroll(context, clips, context.service.enroll_background)
    reply = schemas.BackgroundReply(enrolled=len(usable), rejected=rejected, damaged=damaged, state=state)
    return json_response(reply)


@recognizer_routes.delete("/background", response_model=schemas.State, responses=CLASS_ERRORS)
async def remove_background(
    context: Context,
    clip: Annotated[str, Query(description="Its name in the state.")],
    revision: Revision = None,
) -> Response:
    """Remove a recording from the background."""
    return await context.reply(context.service.remove_background, clip, revision)


@recognizer_routes.post("/classify", response_model=schemas.ClassifyReply, responses=CLIP_ERRORS)
async def classify(context: Context, clip: Annotated[UploadFile, File(description="A recording.")]) -> Response:
    """Say which of the enrolled classes a recording is, or that it is none of them."""
    async with context.clip_memory:
        loaded, rejected, _ = await context.uploads.read([clip])
        if rejected:
            context.metrics.clips("rejected")
            raise ApiError(422, f"The recording cannot be used: {_reason(rejected[0])}.")
        answer = await context.on_model(context.service.classify, loaded[0])
    context.metrics.clips("classified" if answer.label is not None else "unknown")
    return json_response(answer)


@recognizer_routes.get("/map", response_model=schemas.EmbeddingMap)
async def embedding_map(context: Context) -> Response:
    """The enrolled clips' embeddings in two dimensions."""
    return await context.reply(context.service.embedding_map)


@recognizer_routes.get("/diagnosis", response_model=schemas.Findings)
async def diagnosis(context: Context) -> Response:
    """Findings about the enrolled clips: outliers, classes that are confused, silence."""
    return await context.reply(context.service.diagnosis)


@recognizer_routes.get(
    "/bundle",
    response_class=StreamingResponse,
    responses=error_responses(422, 507) | {200: {"content": {"application/zip": {}}}},
)
async def bundle(
    context: Context,
    with_audio: Annotated[bool, Query(description="Whether the kept sound of clips is in it, too.")] = False,
) -> StreamingResponse:
    """The recognizer with all its classes, as a zip archive of its folder; without the kept sound of clips."""
    archive, size = await context.on_model(context.service.bundle, with_audio)
    # With its length, a client notices if the connection breaks.
    headers = {"Content-Disposition": f'attachment; filename="{BUNDLE_NAME}.zip"', "Content-Length": str(size)}
    return StreamingResponse(_blocks(archive), media_type="application/zip", headers=headers)


def _reason(rejected: schemas.RejectedClip) -> str:
    return f"{rejected.reason.replace('_', ' ')}: {rejected.detail}"


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while block := stream.read(BLOCK):
            yield block
