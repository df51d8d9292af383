"""Running the server: its address, the token that protects it, and its end."""

import asyncio
import gc
import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from fewshot_audio.archive.review.review import Review
from fewshot_audio.errors import ConfigError
from fewshot_audio.serve.app import create_app
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.limits import ServerLimits

MIN_TOKEN_LENGTH = 16  # characters; a shorter one can be guessed by trying
MAX_CONNECTIONS = 256
RECEIVE_BYTES = 8 << 10


class Connection(H11Protocol):
    """A client's connection: h11 is strict about ambiguous requests. Little is received at once.

    A body may come in chunks of a byte, each of which takes as long as a large one: with all that the system has
    received, 43,000 of them, other requests would wait for a second.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Limit what the event loop reads at once from a new connection."""
        transport.max_size = RECEIVE_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)


def run_server(
    backend: Backend,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    host_names: Sequence[str] = (),
    folder: Path | None = None,
    review: Review | None = None,
    archive: Path | None = None,
    on_start: Callable[[str], object],
) -> int:
    """Serve until interrupted.

    Args:
        backend: the recognizer.
        host: address to listen on; any but a local one needs a ``token``.
        port: port to listen on; 0 for a free one.
        token: access token that requests must carry.
        host_names: further host names under which clients may address the server.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
        review: of an index, by the same recognizer; None if there is none.
        archive: folder that the index's names of recordings are below; needed with ``review``.
        on_start: called with the server's address once clients can connect.

    Returns:
        The number of unsaved changes.

    Raises:
        ConfigError: a token is needed or unusable; or the address is taken, not permitted or not of this machine.
    """
    if token is None and not is_local(host):
        raise ConfigError(
            f"--host {host} can be reached by other machines: set an access token with --token or FEWSHOT_AUDIO_TOKEN"
        )
    if token is not None and (
        len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(f"--token: expected at least {MIN_TOKEN_LENGTH} printable ASCII characters, no blanks")
    app = create_app(
        backend,
        token=token,
        hosts=frozenset({host.lower(), socket.gethostname().lower(), *map(str.lower, host_names)}),
        folder=folder,
        review=review,
        archive=archive,
    )
    gc.collect()
    gc.freeze()  # what is loaded by now stays: a collection that went through all of it would hold up every request
    with listen(host, port) as listener, suppress(KeyboardInterrupt):
        # uvicorn raises the signal that stopped it again when it has ended; both signals are a normal end here.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        url_host = f"[{host}]" if ":" in host else host
        on_start(f"http://{url_host}:{listener.getsockname()[1]}")
        uvicorn.Server(server_config(app)).run(sockets=[listener])
    return int(app.state.context.service.folder.unsaved)


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the web server treats connections."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # addresses have names of classes
        server_header=False,
        http=Connection,
        loop="asyncio",
        h11_max_incomplete_event_size=ServerLimits().header_bytes,
        ws="none",
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
    )


def is_local(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Bind an address and listen on it. Raises ConfigError that names the address and the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off, which delays every answer by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MAX_CONNECTIONS)  # before the address is announced
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return listener
