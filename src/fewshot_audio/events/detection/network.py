"""The event network as a detector asks it: its file, and what hears by it, in onnxruntime or in torch."""

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.events.detection.frames import N_MELS, Frames
from fewshot_audio.files import read_bounded, write_bytes
from fewshot_audio.recognition.bundle.description import in_words
from fewshot_audio.recognition.bundle.graph import VARIABLE
from fewshot_audio.recognition.graphs import NO_GRAPH, graph_key, read_graph
from fewshot_audio.runtime.cores import usable_cores

if TYPE_CHECKING:
    from fewshot_audio.models.event_network import EventNetwork

HOME = Path(__file__).parent / "shipped"
NETWORK_FILE, CARD_FILE = "event_network.safetensors", "MODEL_CARD.md"
LARGEST_FILE = 2 << 20  # bytes; the weights and their names take 1.2 million
LARGEST_NUMBER = 1e6  # of an embedding or of log-odds; those of a trained network are below 100
DIGEST = "data_sha256"
"""Of the file's metadata: SHA-256 of what is behind its header. Files of version 0.1 have none."""

Hearing: TypeAlias = Callable[[Frames], tuple[Frames, Frames]]
"""Hears levels (an even number of frames, N_MELS): embeddings (frames, WIDTH), and log-odds of an event (frames,)."""

log = logging.getLogger(__name__)


def network_path(folder: str | Path | None = None) -> Path:
    """The file of a network in a folder; without one, of the network that comes with the package."""
    return (HOME if folder is None else Path(folder)) / NETWORK_FILE


def read_network_file(path: Path) -> bytes:
    """The content of a network's file, which is as it was written.

    Raises:
        DataError: it is missing, too large or damaged.
    """
    content = read_bounded(path, LARGEST_FILE, expected="the weights of an event network")
    length = int.from_bytes(content[:8], "little")
    try:
        digest = json.loads(content[8 : 8 + length])["__metadata__"][DIGEST]
    except (ValueError, RecursionError, KeyError, TypeError):
        return content  # what is wrong with another file is said when its weights are read
    if hashlib.sha256(content[8 + length :]).hexdigest() != digest:
        raise DataError(f"{path}: damaged (its weights do not have the SHA-256 that it names)")
    return content


def save_network(path: Path, network: "EventNetwork") -> None:
    """Write a network's weights. Raises WriteError."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    content = save(tensors)
    data = content[8 + int.from_bytes(content[:8], "little") :]
    write_bytes(path, save(tensors, {DIGEST: hashlib.sha256(data).hexdigest()}))


def load_network(path: Path, content: bytes) -> "EventNetwork":
    """The network of a file, for inference.

    Raises:
        DataError: the content is not the weights of an event network; names the file.
    """
    import safetensors
    import safetensors.torch

    from fewshot_audio.models.event_network import EventNetwork

    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{path}: not a safetensors file ({on_one_line(str(error))})") from error
    network = EventNetwork()
    expected = network.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        actual, own = (in_words(state.get(name)) for state in (tensors, expected))
        if actual != own:
            raise DataError(f"{path}: no event network: {name[:80]!r} is {actual}, expected {own}")
        if not tensors[name].isfinite().all():
            raise DataError(f"{path}: {name} holds values that are not finite")
    network.load_state_dict(tensors)
    return network.folded()


def open_hearing(folder: str | Path | None = None) -> Hearing:
    """What hears by the network in a folder; without one, by the network that comes with the package.

    Raises:
        DataError: there is none that can be used; names the file.
    """
    path = network_path(folder)
    return _hearing(path, read_network_file(path), os.environ.get(VARIABLE))


def network_key(content: bytes) -> str:
    """The name of a network's graph."""
    return graph_key(hashlib.sha256(content).hexdigest(), network="events")


@lru_cache(maxsize=2)
def _hearing(path: Path, content: bytes, backend: str | None) -> Hearing:
    if backend != "torch" and importlib.util.find_spec("onnxruntime") is not None:
        graph = read_graph(network_key(content))
        if graph is not None and graph != NO_GRAPH:
            try:
                return _checked(hear_by_graph(graph), path)
            except Exception:
                log.info("the graph of %s cannot be used", path, exc_info=True)
    return _checked(hear_by_torch(load_network(path, content)), path)


def _checked(hearing: Hearing, path: Path) -> Hearing:
    """The same, whose numbers can be computed with; weights of anybody may give others."""

    def hear(levels: Frames) -> tuple[Frames, Frames]:
        heard = hearing(levels)
        if not all((np.abs(values) <= LARGEST_NUMBER).all() for values in heard):  # NaN is not either
            raise DataError(
                f"{path}: what it makes of a recording is not finite or too large: its weights are unusable"
            )
        return heard

    return hear


def hear_by_graph(graph: bytes) -> Hearing:
    """Hear in onnxruntime, which is imported ten times as fast as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = usable_cores(), 1
    options.log_severity_level = 3  # errors
    session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def hear(levels: Frames) -> tuple[Frames, Frames]:
        embeddings, presence = session.run(None, {"pairs": np.ascontiguousarray(levels.reshape(-1, 2, N_MELS))})
        return embeddings[0], presence[0]

    return hear


def hear_by_torch(network: "EventNetwork") -> Hearing:
    """Hear in torch."""
    import torch

    def hear(levels: Frames) -> tuple[Frames, Frames]:
        with torch.inference_mode():
            embeddings, presence = network(torch.from_numpy(levels).unsqueeze(0))
        return embeddings[0].numpy(), presence[0].numpy()

    return hear
