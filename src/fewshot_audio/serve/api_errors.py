"""Errors as the API answers them: a status, a code for programs, a sentence for people."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fewshot_audio.errors import FewShotError
from fewshot_audio.serve.schemas import ConflictReply, ErrorBody, ErrorReply, State

log = logging.getLogger(__name__)

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    414: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "too_many_requests",
    431: "too_large",
    500: "failed",
    503: "busy",
    507: "no_space",
}
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
SENTENCES = {  # for the words that the web framework has
    "Not Found": "There is nothing at this address. /docs lists the API's addresses.",
    "Method Not Allowed": "This address does not take that method. /docs lists what it takes.",
    "There was an error parsing the body": "The body cannot be read: expected what its Content-Type says.",
    "Invalid multipart data.": "The form cannot be read: expected multipart/form-data with the boundary of its header.",
}
EXPECTED = {
    "name": "a class's name",
    "clip": "a recording, as a file of multipart/form-data",
    "clips": "one or more recordings, as files of multipart/form-data",
    "recording": "a recording, as a file of multipart/form-data",
    "new_class": "a class's name",
    "marks": "a list of events with start and end in seconds, label, and quality POS, NEG or UNK",
    "events": "a list of events with start and end in seconds, label, and score from 0 to 1",
    "start": "seconds, 0 or more",
    "end": "seconds, above 0",
    "columns": "a whole number from 1 to 2000",
    "format": "csv, raven, audacity or dcase",
    "complete_between": "true, false or null",
    "revision": "the revision of a state, a whole number",
}
PLACES = {"query": "query parameter", "body": "field", "header": "header", "path": "path's part"}


class ApiError(FewShotError):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> JSONResponse:
        """The answer to send."""
        return JSONResponse(self._body().model_dump(), self.status, HEADERS.get(self.status))

    def _body(self) -> ErrorReply:
        return ErrorReply(error=ErrorBody(code=CODES.get(self.status, "refused"), message=self.message))


class Conflict(ApiError):
    """A request that the recognizer's state does not allow; the answer has that state."""

    def __init__(self, message: str, state: State) -> None:
        super().__init__(409, message)
        self.state = state

    def _body(self) -> ErrorReply:
        return ConflictReply(error=super()._body().error, state=self.state)


def no_space(action: str, error: OSError) -> HTTPException:
    """What is answered if a temporary file cannot be written: ``action`` and the reason, without the file's path."""
    log.error("%s: %s", action, error)
    return HTTPException(507, f"{action} in the server's folder for temporary files: {error.strerror or 'it failed'}.")


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route may answer with, for ``/openapi.json``."""
    return {status: {"model": ConflictReply if status == 409 else ErrorReply} for status in statuses}


def add_error_handlers(app: FastAPI) -> None:
    """Give every error the same shape, without details of the server's internals."""

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(FewShotError)
    async def unusable_input(_: Request, error: FewShotError) -> Response:
        return ApiError(422, str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_: Request, error: RequestValidationError) -> Response:
        return ApiError(422, " ".join(map(_sentence, error.errors()[:5]))).response()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        response = ApiError(error.status_code, SENTENCES.get(error.detail, error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def server_error(_: Request, __: Exception) -> Response:
        return ApiError(500, "The server failed to answer; its log says why.").response()


def _sentence(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with a part of a request, and what was expected."""
    place, *names = problem["loc"]
    if problem["type"] == "json_invalid":
        return f"The body is not JSON: {problem['ctx']['error']} at character {names[0] if names else 0}."
    if not names:
        return 'Expected a JSON object as the body, such as {"name": "owl"}, with Content-Type: application/json.'
    name = str(names[0])
    expected = EXPECTED.get(name, "another value")
    missing = problem["type"] == "missing"
    fault = "is missing" if missing else f"cannot be used ({problem['msg'][:1].lower()}{problem['msg'][1:]})"
    return f"The {PLACES.get(place, 'value')} “{name}” {fault}; expected {expected}."
