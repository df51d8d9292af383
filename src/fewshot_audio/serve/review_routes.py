"""The JSON API of reviews; without an index every address but one answers 404."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fewshot_audio.archive.review.review import Order
from fewshot_audio.serve import review_schemas as schemas
from fewshot_audio.serve.api_errors import ApiError, error_responses
from fewshot_audio.serve.context import Context, json_response
from fewshot_audio.serve.reviewing import ReviewService
from fewshot_audio.serve.schemas import State

ERRORS = error_responses(404, 422)
BODY_ERRORS = error_responses(400, 404, 408, 409, 413, 415, 422, 507)

Name = Annotated[str, Query(min_length=1, max_length=200, description="The class that is asked for.")]
Reviewer = Annotated[str, Query(min_length=1, max_length=100, description="Who listens.")]
Window = Annotated[int, Query(ge=0, lt=2**53, description="Number of the window.")]

review_routes = APIRouter(prefix="/api/review", tags=["review"])


def _review(context: Context) -> ReviewService:
    if context.review is None:
        raise ApiError(404, "The server was started without an index: `fewshot-audio serve BUNDLE --index INDEX`.")
    return context.review


@review_routes.get("", response_model=schemas.ReviewProgress, responses=ERRORS)
async def review_progress(context: Context, name: Name, reviewer: Reviewer = "me") -> Response:
    """How far the review of a class is, with the curve of what was found."""
    return await context.reply(_review(context).progress, name, reviewer)


@review_routes.get("/status")
async def review_status(context: Context) -> schemas.ReviewStatus:
    """Whether the server was started with an index."""
    review = context.review
    return schemas.ReviewStatus(available=review is not None, windows=0 if review is None else len(review.review.index))


@review_routes.get("/round", response_model=schemas.Round, responses=ERRORS)
async def next_round(
    context: Context,
    name: Name,
    order: Annotated[Order, Query(description="The likeliest, the least sure, or the most similar windows.")] = "score",
    count: Annotated[int, Query(ge=1, le=50)] = 12,
    reviewer: Reviewer = "me",
) -> Response:
    """Windows to be listened to next; other reviewers get other ones."""
    return await context.reply(_review(context).next_round, name, order, count, reviewer)


@review_routes.get("/sound", response_class=Response, responses=ERRORS | {200: {"content": {"audio/wav": {}}}})
async def window_sound(context: Context, window: Window) -> Response:
    """Exactly the sound of a window, as a wav file; its loudest moment is at 0.9 of full scale."""
    return Response(await asyncio.to_thread(_review(context).sound, window), media_type="audio/wav")


@review_routes.get("/spectrogram", response_model=schemas.WindowPicture, responses=ERRORS)
async def window_spectrogram(context: Context, window: Window) -> Response:
    """The spectrogram of a window."""
    review = _review(context)
    return await asyncio.to_thread(lambda: json_response(review.picture(window)))


@review_routes.post("/choices", response_model=schemas.ReviewProgress, responses=BODY_ERRORS)
async def choose(context: Context, choice: schemas.NewChoice) -> Response:
    """Say what is in a window. The answer comes when the choice is on disk."""
    return await context.reply(_review(context).choose, choice)


@review_routes.post("/teach", response_model=State, responses=BODY_ERRORS)
async def teach(context: Context) -> Response:
    """Let the recognizer learn all choices: yes are clips of the class, no are background. Nothing is embedded."""
    return await context.reply(_review(context).teach)


@review_routes.get("/table", response_class=Response, responses=ERRORS | {200: {"content": {"text/csv": {}}}})
async def choices_table(context: Context) -> Response:
    """All choices of all classes as CSV: who said what about which window, and when."""
    text = await context.on_model(_review(context).table)
    return Response(text, media_type="text/csv; charset=utf-8")


@review_routes.post("/table", response_model=schemas.Imported, responses=BODY_ERRORS)
async def add_table(context: Context, request: Request, name: Name, reviewer: Reviewer = "me") -> Response:
    """Add the choices of a table, which is the body: CSV as ``GET`` gives it, or with file, start, end and answer."""
    content = await request.body()
    return await context.reply(_review(context).add_table, content, name, reviewer)
