"""Building the graph of a bundle's network in a process of its own, for the next command to start quickly."""

import importlib.util
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fewshot_audio.errors import FewShotError
from fewshot_audio.recognition.bundle.description import read_description
from fewshot_audio.recognition.bundle.graph import VARIABLE, name_network
from fewshot_audio.recognition.graphs import NO_GRAPH, can_write_graphs, read_graph, write_graph

log = logging.getLogger(__name__)

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MOST_SECONDS = 300  # of processor time


def build_in_background(folder: Path) -> "subprocess.Popen[bytes] | None":
    """Begin to build the graph of a bundle's network, unless there is one, it can have none, or a package is missing.

    The process goes on when this one ends. It takes some seconds, at low priority.
    """
    if not can_build():
        return None
    with suppress(FewShotError):
        network = name_network(folder, read_description(folder)[0])
        if network and read_graph(network.key) is None:
            return start_process("fewshot_audio.recognition.graph_building", folder)
    return None


def can_build() -> bool:
    """Whether the packages for graphs are installed, and graphs are wanted and can be kept."""
    if os.environ.get(VARIABLE) == "torch" or any(importlib.util.find_spec(name) is None for name in PACKAGES):
        return False
    return can_write_graphs()


def start_process(module: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Begin to run a module for a folder, in a process that goes on when this one ends."""
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", module, str(folder.resolve())),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,  # Ctrl-C is for the command that began it
    )
    threading.Thread(target=process.wait, daemon=True).start()  # a server would keep a zombie
    return process


def build(folder: Path) -> bool:
    """Build the graph of a bundle's network and keep it for this user; whether there is one now.

    Raises:
        DataError: the folder is no bundle.
        WriteError: the cache cannot be written.
    """
    description, _ = read_description(folder)
    network = name_network(folder, description)
    if network is None:
        return False
    content = network.content

    def graph() -> bytes:
        import torch  # now, because it takes seconds, in which others would begin too

        from fewshot_audio.recognition.bundle.network import torch_embedder
        from fewshot_audio.recognition.embedding_graph import embedding_graph

        return embedding_graph(torch_embedder(folder, description, content, torch.device("cpu")))

    return build_once(network.key, graph)


def build_once(key: str, make: Callable[[], bytes]) -> bool:
    """Keep the graph of that name, made by ``make`` unless there is one or that has failed; whether there is one now.

    Raises:
        WriteError: the cache cannot be written.
    """
    if (graph := read_graph(key)) is not None:
        return graph != NO_GRAPH
    write_graph(key, NO_GRAPH)  # for other processes, and if this one is killed
    write_graph(key, make())
    return True


def limit() -> None:
    """Give way to other processes, and end in time, whatever network anybody has made."""
    if sys.platform != "win32":
        import resource

        os.nice(10)
        with suppress(ValueError):  # a lower limit stays
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))


if __name__ == "__main__":
    limit()
    try:
        build(Path(sys.argv[1]))
    except FewShotError as error:
        sys.exit(str(error))
