"""A server on a port of this machine, in a thread of this process, stopped at the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from fewshot_audio.serve.app import create_app
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.run import listen, server_config


@contextmanager
def running(backend: Backend, **options: Any) -> Iterator[str]:
    """Serve a recognizer; yields the address."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(server_config(create_app(backend, **options)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
