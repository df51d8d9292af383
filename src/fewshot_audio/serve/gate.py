"""What every request passes before the application sees it: host, origin, token, size, number."""

import hmac
import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fewshot_audio.serve.limits import Limits
from fewshot_audio.serve.metrics import Metrics
from fewshot_audio.serve.refusals import Refusal

PUBLIC = ("/", "/docs", "/openapi.json", "/health", "/assets/")  # nothing of the bundle is in them
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
DRAIN_SECONDS = 2.0

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        hosts: names under which the server may be addressed, beside IP addresses and ``localhost``. A page of another
            name that resolves to this machine (DNS rebinding) is turned away.
        token: what ``Authorization: Bearer`` must carry, None where only this machine can connect.
        limits: size and time of a body; number of requests at a time.
        metrics: counts every request.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], token: str | None, limits: Limits, metrics: Metrics
    ) -> None:
        self.app = app
        self.hosts = hosts | {"localhost"}
        self.token = token
        self.limits = limits
        self.metrics = metrics
        self._waiting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                message["headers"] = headers.raw
            await send(message)

        try:
            await self._admit(scope, receive, send_guarded)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.request(route, method, status, time.monotonic() - began)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(scope["method"], headers)
            self._check_token(scope["path"], headers)
            self._check_body(headers)
            with self._place(scope):
                await self.app(scope, self._bounded(receive), send)
        except Refusal as refusal:
            await _drain(receive, self.limits.upload_bytes)
            await refusal.response()(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_own(host):
            raise Refusal(403, "This server is not known under that host name; start it with --allow-host NAME.")

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)  # nobody can make a foreign page have it
        except ValueError:
            return False
        return True

    def _check_origin(self, method: str, headers: Headers) -> None:
        """A page from elsewhere must not act in the user's name; programs send no origin."""
        if method in SAFE_METHODS:
            return
        site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
        same = origin is None or origin.partition("://")[2].lower() == headers["host"].lower()
        if not same or site not in ("same-origin", "none"):
            raise Refusal(403, "Changes are taken from this server's own page only.")

    def _check_token(self, path: str, headers: Headers) -> None:
        if self.token is None or path in PUBLIC or path.startswith("/assets/"):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.token.encode())
        if scheme.lower() != "bearer" or not right:
            raise Refusal(401, "This server needs its access token (Authorization: Bearer TOKEN).")

    def _check_body(self, headers: Headers) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "Compressed request bodies are not taken.")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self.limits.upload_bytes:
            raise Refusal(413, too_large(self.limits))

    @contextmanager
    def _place(self, scope: Scope) -> Iterator[None]:
        """Hold a place among those that are worked on; none is needed to look at the page or at the counters."""
        if not scope["path"].startswith("/api/"):
            yield
            return
        client = scope["client"][0] if scope.get("client") else ""
        if self._waiting.total() >= self.limits.waiting:
            raise Refusal(503, "The server is busy. Try again in a moment.")
        if self._waiting[client] >= self.limits.waiting_per_client:
            raise Refusal(429, "Too many requests of yours are still being worked on. Try again in a moment.")
        self._waiting[client] += 1
        try:
            yield
        finally:
            self._waiting[client] -= 1
            self._waiting += Counter()  # forgets clients at 0

    def _bounded(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        """A body that is too large or too slow ends in an error wherever it is being read."""
        read = 0
        deadline = time.monotonic() + self.limits.upload_seconds
        arriving = True

        async def bounded() -> Message:
            nonlocal read, arriving
            if not arriving:  # waiting for the client to go, which may take any time
                return await receive()
            with anyio.move_on_after(max(0.0, deadline - time.monotonic())) as scope:
                message = await receive()
            if scope.cancelled_caught:
                raise HTTPException(408, f"The request did not arrive within {self.limits.upload_seconds:g} s.")
            read += len(message.get("body", b""))
            arriving = message.get("more_body", False)
            if read > self.limits.upload_bytes:
                raise HTTPException(413, too_large(self.limits))
            return message

        return bounded


async def _drain(receive: Receive, most: int) -> None:
    """Read what a refused client still sends, for a moment: one that is cut off never sees the answer."""
    with anyio.move_on_after(DRAIN_SECONDS):
        while most > 0:
            message = await receive()
            most -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def too_large(limits: Limits) -> str:
    """What to tell a client that sends too much."""
    return f"The upload is larger than {limits.upload_bytes / (1 << 20):g} MB, which is the most."
