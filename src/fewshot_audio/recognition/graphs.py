"""The user's cache of graphs: networks of bundles as ONNX graphs, which start and run faster than torch.

A graph is built here from a network whose weights have been checked, and is never read from a bundle. It is called by a
digest of all that the network is made of: with the same digest, torch would build the same network.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from fewshot_audio import __version__
from fewshot_audio.errors import WriteError
from fewshot_audio.files import nearest_folder, write_bytes

FORMAT = 1  # to be raised if the same weights give other embeddings
MOST_GRAPHS = 100
MOST_BYTES = 1 << 30  # of all graphs
LARGEST_WEIGHTS = 256 << 20  # bytes; larger networks take longer than importing torch
DIGEST_BYTES = 32
NO_GRAPH = b""
"""Stands for the graph while it is being built, and afterwards if that failed."""
RETRY_AFTER = 24 * 3600.0
"""Seconds after which it is built once more."""


def graphs_folder() -> Path:
    """Where this user's graphs are. Raises WriteError for a user without a home."""
    try:
        folder = Path(platformdirs.user_cache_dir("fewshot-audio"))
    except RuntimeError as error:
        raise WriteError(f"no folder for this user's graphs: {error}") from error
    if not folder.is_absolute():  # former versions of platformdirs return "~/.cache", which anybody may have put here
        raise WriteError(f"no folder for this user's graphs: {folder} depends on the current folder")
    return folder / "graphs"


def graph_key(weights: str, **parts: Any) -> str:
    """The name of a network's graph.

    Args:
        weights: SHA-256 of the file of its weights.
        parts: what else determines its embeddings, as JSON values.
    """
    values = {"format": FORMAT, "version": __version__, "weights": weights, **parts}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_graph(key: str) -> bytes | None:
    """The graph of that name, or ``NO_GRAPH``; None if it ought to be built: it is missing, damaged or long failed."""
    try:
        path = _path(key)
        content, age = path.read_bytes(), time.time() - path.stat().st_mtime
    except (OSError, WriteError):
        return None
    digest, graph = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(graph).digest() != digest or (graph == NO_GRAPH and age > RETRY_AFTER):
        return None
    return graph


def write_graph(key: str, graph: bytes) -> None:
    """Keep a graph, and remove the oldest ones. Raises WriteError."""
    write_bytes(_path(key), hashlib.sha256(graph).digest() + graph)
    total = 0
    for number, (_, size, path) in enumerate(sorted(_written(), reverse=True)):
        total += size
        if number >= MOST_GRAPHS or total > MOST_BYTES:
            with suppress(OSError):
                path.unlink()


def _written() -> Iterator[tuple[float, int, Path]]:
    """Time, bytes and path of each graph."""
    for path in graphs_folder().glob("*.graph"):
        with suppress(OSError):  # another process has removed it
            status = path.stat()
            yield status.st_mtime, status.st_size, path


def can_write_graphs() -> bool:
    """Whether graphs can be kept here."""
    try:
        return os.access(nearest_folder(graphs_folder() / "any"), os.W_OK)
    except WriteError:
        return False


def _path(key: str) -> Path:
    return graphs_folder() / f"{key}.graph"
