"""The JSON API over long recordings: events are marked in them, and the others are searched for."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, File, Path, Query, Response, UploadFile
from pydantic import BaseModel, FiniteFloat

from fewshot_audio.serve import recording_schemas as schemas
from fewshot_audio.serve.api_errors import ApiError, error_responses, no_space
from fewshot_audio.serve.context import Context, json_response
from fewshot_audio.serve.form import FormRoute

T = TypeVar("T")
RECORDING_ERRORS = error_responses(404, 422)
BODY_ERRORS = error_responses(400, 404, 408, 413, 415, 422)
UPLOAD_ERRORS = error_responses(400, 408, 413, 415, 422, 507)

Key = Annotated[str, Path(alias="recording", description="Its id.", pattern="^[A-Za-z0-9_-]{1,64}$")]
Start = Annotated[FiniteFloat, Query(ge=0, description="Seconds from the start of the recording.")]
End = Annotated[FiniteFloat, Query(gt=0, description="Seconds from the start of the recording, after ``start``.")]

recording_routes = APIRouter(prefix="/api/recordings", tags=["long recordings"], route_class=FormRoute)


async def _apart(work: Callable[..., T], *arguments: object) -> T:
    """Call ``work(*arguments)`` on a thread of its own."""
    return await asyncio.to_thread(work, *arguments)


async def _reply(work: Callable[..., BaseModel], *arguments: object) -> Response:
    return await _apart(lambda: json_response(work(*arguments)))


@recording_routes.post("", response_model=schemas.RecordingState, responses=UPLOAD_ERRORS)
async def add_recording(
    context: Context, recording: Annotated[UploadFile, File(description="A recording of up to two hours.")]
) -> Response:
    """Send a long recording. It is decoded from now on; ask for its state until that is ``ready``.

    The server holds it in a temporary folder until it is removed, until nobody has asked for it in an hour, or until
    the server stops.
    """
    name = context.service.clip_name(recording.filename or "")
    try:
        return await _reply(context.recordings.add, recording.file, name)
    except OSError as error:
        raise no_space("The recording cannot be stored", error) from error


@recording_routes.get("/{recording}", response_model=schemas.RecordingState, responses=RECORDING_ERRORS)
async def recording_state(context: Context, key: Key) -> Response:
    """What is known about a recording, and what happens to it."""
    return json_response(context.recordings.get(key).state())


@recording_routes.delete("/{recording}", status_code=204, response_class=Response, responses=RECORDING_ERRORS)
async def remove_recording(context: Context, key: Key) -> Response:
    """Remove a recording from the server; a search in it ends."""
    await _apart(context.recordings.remove, key)
    return Response(status_code=204)


@recording_routes.get("/{recording}/spectrogram", response_model=schemas.SpectrogramView, responses=RECORDING_ERRORS)
async def spectrogram(
    context: Context,
    key: Key,
    start: Start,
    end: End,
    columns: Annotated[int, Query(ge=1, le=2000, description="Its width, at most.")] = 1000,
) -> Response:
    """The spectrogram of a part of a recording."""
    recording = context.recordings.get_ready(key)
    width = min(columns, context.service.limits.spectrogram_columns)
    return await _reply(recording.spectrogram, start, end, width)


@recording_routes.get(
    "/{recording}/sound",
    response_class=Response,
    responses=RECORDING_ERRORS | {200: {"content": {"audio/wav": {}}}},
)
async def excerpt(context: Context, key: Key, start: Start, end: End) -> Response:
    """A part of a recording, up to 60 s, as a wav file; the recording's loudest moment is at 0.9 of full scale."""
    recording = context.recordings.get_ready(key)
    sound = await _apart(recording.excerpt, start, end, context.service.limits)
    return Response(sound, media_type="audio/wav")


@recording_routes.post("/{recording}/search", response_model=schemas.RecordingState, responses=BODY_ERRORS)
async def search(context: Context, key: Key, request: schemas.Search) -> Response:
    """Search a recording for events like those that are marked. Ask for its state until that is ``ready`` again."""
    return await _reply(context.recordings.search, key, request)


@recording_routes.get("/{recording}/events", response_model=schemas.Detections, responses=RECORDING_ERRORS)
async def detections(context: Context, key: Key) -> Response:
    """What the last search has found, or so far: events with a score of 0.2 or more; those that were marked are left
    out. The recording's ``found_until`` says up to where they are there already.
    """
    recording = context.recordings.get_ready(key)
    return await _reply(recording.detections, context.service.limits)


@recording_routes.post(
    "/{recording}/table",
    response_class=Response,
    responses=BODY_ERRORS | {200: {"content": {"text/plain": {}, "text/csv": {}}}},
)
async def table(context: Context, key: Key, request: schemas.Table) -> Response:
    """Write events as a table: of CSV or DCASE's task 5 (text/csv), of Raven or Audacity (text/plain)."""
    recording = context.recordings.get_ready(key)
    most = context.service.limits.detections + context.service.limits.marks
    if len(request.events) > most:
        raise ApiError(413, f"The table has {len(request.events)} events; at most {most} are accepted.")
    text = await _apart(recording.table, request)
    media_type = "text/csv" if request.format in ("csv", "dcase") else "text/plain"
    return Response(text, media_type=f"{media_type}; charset=utf-8")
