"""Answers to requests that are not granted: a status, a code for programs, a sentence for people."""

from starlette.responses import JSONResponse

from fewshot_audio.errors import FewShotError
from fewshot_audio.serve.messages import ErrorBody, ErrorReply

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


class Refusal(FewShotError):
    """A request that is not granted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> JSONResponse:
        """The answer to send."""
        body = ErrorReply(error=ErrorBody(code=CODES.get(self.status, "refused"), message=self.message))
        return JSONResponse(body.model_dump(), self.status, HEADERS.get(self.status))
