"""The user's cache of graphs: networks of bundles as ONNX graphs, which start and run faster than torch.

A graph is built here from a network whose weights have been checked, and is never read from a bundle. It is called by a
digest of all that the network is made of: with the same digest, torch would build the same network.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import platformdirs

from fewshot_audio import __version__
from fewshot_audio.files import write_bytes

FORMAT = 1  # to be raised if the same weights give other embeddings
MOST_GRAPHS = 100
LARGEST_WEIGHTS = 256 << 20  # bytes; larger networks take longer than importing torch
DIGEST_BYTES = 32
NO_GRAPH = b""
"""Stands for the graph while it is being built, and afterwards if that failed."""
RETRY_AFTER = 24 * 3600.0
"""Seconds after which it is built once more."""


def graphs_folder() -> Path:
    """Where this user's graphs are."""
    return Path(platformdirs.user_cache_dir("fewshot-audio")) / "graphs"


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
    path = _path(key)
    try:
        content, age = path.read_bytes(), time.time() - path.stat().st_mtime
    except OSError:
        return None
    digest, graph = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(graph).digest() != digest or (graph == NO_GRAPH and age > RETRY_AFTER):
        return None
    return graph


def write_graph(key: str, graph: bytes) -> None:
    """Keep a graph, and remove the oldest ones. Raises WriteError."""
    write_bytes(_path(key), hashlib.sha256(graph).digest() + graph)
    by_age = sorted(graphs_folder().glob("*.graph"), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-MOST_GRAPHS]:
        path.unlink(missing_ok=True)


def can_write_graphs() -> bool:
    """Whether graphs can be kept here."""
    folder = graphs_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(existing, os.W_OK)


def _path(key: str) -> Path:
    return graphs_folder() / f"{key}.graph"
