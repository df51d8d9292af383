"""Building the graph of an event network, in a process of its own, for the next command to start quickly."""

import sys
from contextlib import suppress
from pathlib import Path

from fewshot_audio.errors import FewShotError
from fewshot_audio.events.detection.network import load_network, network_key, network_path, read_network_file
from fewshot_audio.recognition.graph_building import build_in_background, build_once, can_build, limit, start_process
from fewshot_audio.recognition.graphs import read_graph
from fewshot_audio.recognition.shipped import shipped_folder


def build_graphs_in_background(folder: Path | None = None) -> None:
    """Begin to build the graphs that marked events are searched by: of the event network and of the shipped one."""
    with suppress(FewShotError):
        build_network_in_background(folder)
        build_in_background(shipped_folder())


def build_network_in_background(folder: Path | None = None) -> None:
    """Begin to build the graph of a folder's network, or of the shipped one, unless there is one or it can have none.

    Raises:
        DataError: there is no such network.
    """
    path = network_path(folder)
    if can_build() and read_graph(network_key(read_network_file(path))) is None:
        start_process("fewshot_audio.events.detection.network_graph", path.parent)


def build_network(folder: Path | None = None) -> bool:
    """Build the graph of a folder's network, or of the shipped one, and keep it for this user; whether there is one.

    Raises:
        DataError: there is no network that can be used.
        WriteError: the cache cannot be written.
    """
    path = network_path(folder)
    content = read_network_file(path)

    def build() -> bytes:
        from fewshot_audio.models.event_graph import event_graph

        return event_graph(load_network(path, content))

    return build_once(network_key(content), build)


if __name__ == "__main__":
    limit()
    try:
        build_network(Path(sys.argv[1]))
    except FewShotError as error:
        sys.exit(str(error))
