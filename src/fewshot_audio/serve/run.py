"""Running the server: where it listens, what protects it there, what it says when it ends."""

import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from fewshot_audio.errors import ConfigError
from fewshot_audio.serve.app import create_app
from fewshot_audio.serve.backend import Backend

LEAST_TOKEN = 16  # characters; a shorter one can be tried out
CONNECTIONS = 256


def run_server(
    backend: Backend,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    names: Sequence[str] = (),
    folder: Path | None = None,
    started: Callable[[str], object],
) -> int:
    """Serve until interrupted.

    Args:
        backend: the recognizer.
        host: address to listen at; any but the local one needs a ``token``.
        port: 0 takes a free one.
        token: access token.
        names: further host names under which clients may address the server.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
        started: called with the server's address once it is bound.

    Returns:
        The number of changes that are not saved.

    Raises:
        ConfigError: no token where one is needed, or one that is too short.
        OSError: the address is taken, not permitted or not of this machine.
    """
    if token is None and not is_local(host):
        raise ConfigError(
            f"--host {host} can be reached by others: give an access token with --token or in FEWSHOT_AUDIO_TOKEN"
        )
    if token is not None and (
        len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(f"--token: expected at least {LEAST_TOKEN} printable ASCII characters without blanks")
    app = create_app(
        backend,
        token=token,
        hosts=frozenset({host.lower(), socket.gethostname().lower(), *map(str.lower, names)}),
        folder=folder,
    )
    with listen(host, port) as bound:
        shown = f"[{host}]" if ":" in host else host
        started(f"http://{shown}:{bound.getsockname()[1]}")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=10,
        )
        # What uvicorn was stopped by it raises again when it has ended; both are a normal end here.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])
    return int(app.state.studio.unsaved)


def is_local(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Bind an address. Raises ConfigError that says which one, and why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(CONNECTIONS)  # who is told the address can connect to it
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
    return bound
