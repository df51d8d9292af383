"""Errors as the API answers them: a status, a code for programs, a sentence for people."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fewshot_audio.errors import FewShotError
from fewshot_audio.serve.schemas import ErrorBody, ErrorReply

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "too_many_requests",
    500: "failed",
    503: "busy",
}
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}


class ApiError(FewShotError):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> JSONResponse:
        """The answer to send."""
        body = ErrorReply(error=ErrorBody(code=CODES.get(self.status, "refused"), message=self.message))
        return JSONResponse(body.model_dump(), self.status, HEADERS.get(self.status))


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route may answer with, for ``/openapi.json``."""
    return {status: {"model": ErrorReply} for status in statuses}


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
        problems = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors()]
        return ApiError(422, "; ".join(problems[:5])).response()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        response = ApiError(error.status_code, str(error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def server_error(_: Request, __: Exception) -> Response:
        return ApiError(500, "The server failed to answer; its log says why.").response()
