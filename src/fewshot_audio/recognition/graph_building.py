"""Building the graph of a bundle's network in a process of its own, for the next command to start quickly."""

import importlib.util
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from fewshot_audio.errors import FewShotError
from fewshot_audio.recognition.bundle.description import read_description
from fewshot_audio.recognition.bundle.graph import name_network
from fewshot_audio.recognition.graphs import NO_GRAPH, can_write_graphs, read_graph, write_graph

log = logging.getLogger(__name__)

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MOST_SECONDS = 300  # of processor time


def build_in_background(folder: Path) -> "subprocess.Popen[bytes] | None":
    """Begin to build the graph of a bundle's network, unless there is one, it can have none, or a package is missing.

    The process goes on when this one ends. It takes some seconds, at low priority.
    """
    if any(importlib.util.find_spec(name) is None for name in PACKAGES) or not can_write_graphs():
        return None
    with suppress(FewShotError):
        network = name_network(folder, read_description(folder)[0])
        if network and read_graph(network.key) is None:
            process = subprocess.Popen(
                (sys.executable, "-P", "-m", "fewshot_audio.recognition.graph_building", str(folder.resolve())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C is for the command that began it
            )
            threading.Thread(target=process.wait, daemon=True).start()  # a server would keep a zombie
            return process
    return None


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
    if (graph := read_graph(network.key)) is not None:
        return graph != NO_GRAPH
    write_graph(network.key, NO_GRAPH)  # for other processes, and if this one is killed
    import torch  # now, because it takes seconds, in which others would begin too

    from fewshot_audio.recognition.bundle.network import torch_embedder
    from fewshot_audio.recognition.embedding_graph import embedding_graph

    embedder = torch_embedder(folder, description, network.content, torch.device("cpu"))
    write_graph(network.key, embedding_graph(embedder))
    return True


def _limit() -> None:
    """Give way to other processes, and end in time, whatever network anybody has made."""
    if sys.platform != "win32":
        import resource

        os.nice(10)
        with suppress(ValueError):  # a lower limit stays
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))


if __name__ == "__main__":
    _limit()
    try:
        build(Path(sys.argv[1]))
    except FewShotError as error:
        sys.exit(str(error))
