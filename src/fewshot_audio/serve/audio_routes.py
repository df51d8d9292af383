"""The JSON API of the sound that is kept of clips."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import error_responses
from fewshot_audio.serve.context import Context
from fewshot_audio.serve.routes import CLASS_ERRORS, ClassName, ClipName

audio_routes = APIRouter(prefix="/api", tags=["recognizer"])


@audio_routes.put("/sound", response_model=schemas.State, responses=CLASS_ERRORS)
async def keep_sound(
    context: Context,
    keep: Annotated[bool, Query(description="Whether the sound of clips is kept.")],
    revision: Annotated[
        int | None, Query(description="Of the state that you saw: if anything has changed since, the answer is 409.")
    ] = None,
) -> Response:
    """Keep the sound of clips that are enrolled from now on, in the bundle; or none, and remove what is kept."""
    return await context.reply(context.service.keep_audio, keep, revision)


@audio_routes.get(
    "/classes/clips/sound",
    response_class=Response,
    responses=error_responses(404, 422) | {200: {"content": {"audio/flac": {}}}},
)
async def clip_sound(context: Context, name: ClassName, clip: ClipName) -> Response:
    """The sound of a clip, if it is kept: FLAC, what the network hears."""
    return Response(await context.on_model(context.service.clip_audio, name, clip), media_type="audio/flac")
