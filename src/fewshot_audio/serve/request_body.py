"""The body of a request: how large it may be, how long it may take, and in which pieces the application gets it."""

import asyncio
import time

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from fewshot_audio.serve.limits import ServerLimits

UPLOAD_ROUTES = (("POST", "/api/classes"), ("POST", "/api/background"), ("POST", "/api/classify"))
RECORDINGS = "/api/recordings"
REVIEW_TABLE = "/api/review/table"
PIECE_BYTES = 16 << 10  # parsing one takes some milliseconds at most, even if it consists of boundaries
DRAIN_SECONDS = 2.0


def body_limits(scope: Scope, limits: ServerLimits) -> tuple[int, float]:
    """The largest body of a request, and the seconds in which it must have arrived.

    Recordings come in forms, tables of events to addresses below ``RECORDINGS``; any other body holds a name at most.
    """
    method, path = scope["method"], scope["path"]
    content_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        if (method, path) == ("POST", RECORDINGS):
            return limits.recording_bytes, limits.recording_upload_seconds
        if (method, path) in UPLOAD_ROUTES:
            return limits.upload_bytes, limits.upload_seconds
    if method == "POST" and (path.startswith(f"{RECORDINGS}/") or path == REVIEW_TABLE):
        return limits.marks_bytes, limits.upload_seconds
    return limits.text_bytes, limits.upload_seconds


class RequestBody:
    """A request's body as the application receives it: bounded, and in small pieces.

    Between pieces other requests have their turn.

    Args:
        receive: gives what the client sends.
        max_bytes: size of the body.
        max_seconds: time in which it must have arrived.
    """

    def __init__(self, receive: Receive, max_bytes: int, max_seconds: float) -> None:
        self.is_arriving = True
        self._receive = receive
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._deadline = time.monotonic() + max_seconds
        self._size = 0
        self._rest = memoryview(b"")

    async def receive(self) -> Message:
        """The next piece. Raises HTTPException if the body is too large or too slow."""
        if self._rest:
            await asyncio.sleep(0)
        elif not self.is_arriving:  # waiting for the client to disconnect, which may take any time
            return await self._receive()
        else:
            message = await self._next_message()
            if message["type"] != "http.request":
                return message
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        return {"type": "http.request", "body": bytes(piece), "more_body": self.is_arriving or len(self._rest) > 0}

    async def _next_message(self) -> Message:
        with anyio.move_on_after(max(0.0, self._deadline - time.monotonic())) as scope:
            message = await self._receive()
        if scope.cancelled_caught:
            self.is_arriving = False
            raise HTTPException(408, f"The request did not arrive within {self._max_seconds:g} s.")
        self.is_arriving = message.get("more_body", False)
        self._rest = memoryview(message.get("body", b""))
        self._size += len(self._rest)
        if self._size > self._max_bytes:
            raise HTTPException(413, too_large(self._max_bytes))
        return message

    async def drain(self, max_bytes: int) -> None:
        """Read what a refused client still sends, for a moment: a client that is cut off never sees the answer."""
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.is_arriving and max_bytes > 0:
                message = await self._receive()
                max_bytes -= len(message.get("body", b""))
                self.is_arriving = message.get("more_body", False)


def too_large(max_bytes: int) -> str:
    """The message for a client that sends too much."""
    size = f"{max_bytes / (1 << 20):g} MB" if max_bytes >= 1 << 20 else f"{max_bytes / (1 << 10):g} kB"
    return f"The body of this request is larger than {size}, the maximum."
