"""The checks on every request before the application sees it: host, origin, token, size, concurrency."""

import hmac
import ipaddress
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.metrics import Metrics
from fewshot_audio.serve.request_body import RequestBody, body_limits, too_large

PUBLIC_PATHS = ("/", "/docs", "/openapi.json", "/health")  # they reveal nothing of the bundle
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
TOKEN_PARAMETERS = ("token", "access_token", "authorization")

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


class RequestGuard:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        hosts: names under which the server may be addressed, besides IP addresses and ``localhost``. Requests to any
            other name are rejected: a foreign page's name may resolve to this machine (DNS rebinding).
        token: what ``Authorization: Bearer`` must carry; None if only this machine can connect.
        limits: size and duration of a body; number of concurrent requests.
        metrics: counts every request.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], token: str | None, limits: ServerLimits, metrics: Metrics
    ) -> None:
        self.app = app
        self.hosts = hosts | {"localhost"}
        self.token = token
        self.limits = limits
        self.metrics = metrics
        self._active: Counter[str] = Counter()  # requests by client address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with an error."""
        if scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
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
            self.metrics.request(route, method, status, time.monotonic() - start)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        max_bytes, max_seconds = body_limits(scope, self.limits)
        body = RequestBody(receive, max_bytes, max_seconds)

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await body.drain(self.limits.upload_bytes)
            await send(message)

        try:
            self._check_host(headers)
            self._check_origin(scope["method"], headers)
            self._check_head(scope)
            self._check_token(scope["path"], headers)
            self._check_body(headers, max_bytes)
            with self._request_slot(scope):
                await self.app(scope, body.receive, send_after_body)
        except ApiError as error:
            await error.response()(scope, receive, send_after_body)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_own_name(host):
            raise ApiError(403, "This server does not answer to that host name. Allow it with --allow-host NAME.")

    def _is_own_name(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)  # no foreign page can have an address as its name
        except ValueError:
            return False
        return True

    def _check_origin(self, method: str, headers: Headers) -> None:
        """A page of another site must not act for the user; programs send no origin."""
        if method in SAFE_METHODS:
            return
        site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
        same = origin is None or origin.partition("://")[2].lower() == headers["host"].lower()
        if not same or site not in ("same-origin", "none"):
            raise ApiError(403, "Changes are accepted only from this server's own page.")

    def _check_head(self, scope: Scope) -> None:
        """Bound the head. A token in an address would stay in histories and logs: it is never accepted there."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self.limits.header_bytes:
            raise ApiError(431, f"The headers are larger than {self.limits.header_bytes} bytes, the maximum.")
        query: bytes = scope.get("query_string", b"")
        if len(scope.get("raw_path") or scope["path"]) + len(query) > self.limits.target_bytes:
            raise ApiError(414, f"The address is longer than {self.limits.target_bytes} bytes, the maximum.")
        if self.token and any(name.lower() in TOKEN_PARAMETERS for name, _ in parse_qsl(query.decode("latin-1"))):
            raise ApiError(
                400, "The access token belongs in the header (Authorization: Bearer TOKEN), not in the address."
            )

    def _check_token(self, path: str, headers: Headers) -> None:
        if self.token is None or path in PUBLIC_PATHS or path.startswith("/assets/"):
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        matches = hmac.compare_digest(token.strip().encode(), self.token.encode())
        if scheme.lower() != "bearer" or not matches:
            raise ApiError(401, "This server needs its access token (Authorization: Bearer TOKEN).")

    def _check_body(self, headers: Headers, max_bytes: int) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ApiError(415, "Compressed request bodies are not accepted.")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
            raise ApiError(413, too_large(max_bytes))

    @contextmanager
    def _request_slot(self, scope: Scope) -> Iterator[None]:
        """Count a request among the active ones while it lasts; requests for the page and the counters do not count."""
        if not scope["path"].startswith("/api/"):
            yield
            return
        client = scope["client"][0] if scope.get("client") else ""
        if self._active.total() >= self.limits.requests:
            raise ApiError(503, "The server is busy. Try again in a moment.")
        if self._active[client] >= self.limits.requests_per_client:
            raise ApiError(429, "Too many of your requests are still in progress. Try again in a moment.")
        self._active[client] += 1
        try:
            yield
        finally:
            self._active[client] -= 1
            self._active += Counter()  # forgets clients at 0
