"""A file server on 127.0.0.1 that misbehaves as told: one behavior per request, the last one for all that follow."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behavior = Callable[["Handler"], None]


@dataclass
class Server:
    """``behaviors[path]`` answers the requests for a path in turn; ``requests`` are those received."""

    address: str
    behaviors: dict[str, list[Behavior]] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)  # ends every stall

    def serve(self, path: str, *behaviors: Behavior) -> str:
        """Answer ``path`` like this from now on; return its address."""
        self.behaviors[path] = list(behaviors)
        return self.address + path

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of each request for ``path``."""
        return [headers.get("Range") for requested, headers in self.requests if requested == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Server

    def do_GET(self) -> None:
        self.script.requests.append((self.path, dict(self.headers.items())))
        self.close_connection = True
        behaviors = self.script.behaviors.get(self.path, [status(404)])
        behavior = behaviors.pop(0) if len(behaviors) > 1 else behaviors[0]
        try:
            behavior(self)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has gone, as some tests mean it to

    def start(self, code: int, headers: Mapping[str, str | int]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def status(code: int, headers: Mapping[str, str | int] | None = None) -> Behavior:
    return lambda handler: handler.start(code, {"Content-Length": 0, **(headers or {})})


def redirect(location: str, code: int = 302) -> Behavior:
    return status(code, {"Location": location})


def good(body: bytes, etag: str = '"v1"', *, until: int | None = None, stall: bool = False) -> Behavior:
    """A server that knows ranges and If-Range; it breaks off, or stalls, after ``until`` bytes of the whole file."""

    def answer(handler: Handler) -> None:
        range_header = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        first = int(range_header[1]) if range_header and handler.headers.get("If-Range", etag) == etag else 0
        versions = {"ETag": etag} if etag else {}
        if first >= len(body) > 0:
            handler.start(416, {"Content-Length": 0, "Content-Range": f"bytes */{len(body)}", **versions})
            return
        headers: dict[str, str | int] = {"Content-Length": len(body) - first, **versions}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        handler.start(206 if first else 200, headers)
        handler.wfile.write(body[first:until])
        if stall:
            handler.wfile.flush()
            handler.script.released.wait(20)

    return answer


def rangeless(body: bytes, *, until: int | None = None) -> Behavior:
    """A server that ignores ranges, though it names versions."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"Content-Length": len(body), "ETag": '"v1"'})
        handler.wfile.write(body[:until])

    return answer


def chunked(body: bytes, *, finished: bool = True, etag: str = "") -> Behavior:
    """A server that does not know the size beforehand, like those that pack on request."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"Transfer-Encoding": "chunked", **({"ETag": etag} if etag else {})})
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if finished:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def partial(
    first: int, body: bytes, total: int | str = 50_000, until: int | None = None, etag: str = '"v1"'
) -> Behavior:
    """A server that answers with a range of its own; it breaks off after ``until`` bytes."""

    def answer(handler: Handler) -> None:
        content = f"bytes {first}-{first + len(body) - 1}/{total}"
        headers = {
            "Content-Range": content,
            "ETag": etag,
            "Connection": "close",
        }  # no length: it ends with the connection
        handler.start(206, headers)
        handler.wfile.write(body[:until])

    return answer


def raw(*pieces: bytes, again: bytes = b"") -> Behavior:
    """A server that sends these bytes as they are, status line included, and ``again`` until the client has gone."""

    def answer(handler: Handler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
        while again and not handler.script.released.wait(0.001):
            handler.wfile.write(again)
            handler.wfile.flush()

    return answer


def endless(handler: Handler) -> None:
    """A server that never stops sending."""
    handler.start(200, {"Transfer-Encoding": "chunked"})
    while not handler.script.released.is_set():
        handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


@contextmanager
def running() -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1."""

    class Scripted(Handler):
        """Of this server alone."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as listening:
        server = Server(f"http://127.0.0.1:{listening.server_address[1]}")
        Scripted.script = server
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            listening.shutdown()
            thread.join()
