"""ONNX files that anybody may have made, read as data before onnxruntime sees them, and cut at a tensor."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

from fewshot_audio.errors import ConfigError, on_one_line

MAX_FILE = 600 << 20  # bytes
MAX_INITIALIZERS = 512 << 20  # bytes
MAX_NODES = 100_000
MAX_NESTING = 10  # of graphs in nodes, as loops and branches have them
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
FLOAT, UINT8, INT8 = 1, 2, 3  # element types of ONNX


def first_line(error: Exception) -> str:
    """What a library says of a file that anybody may have written, in a line."""
    return on_one_line((str(error).splitlines() or [type(error).__name__])[0][:300])


def import_extra(module: str, extra: str = "onnx") -> Any:
    """Import a module of an extra. Raises ConfigError saying how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"encoders need {module.partition('.')[0]}: pip install 'fewshot-audio[{extra}]' ({error})"
        ) from error


def parse(content: bytes) -> Any:
    """An ONNX model from its bytes. Raises ConfigError if they are none."""
    onnx = import_extra("onnx")
    if len(content) > MAX_FILE:
        raise ConfigError(f"{len(content)} bytes, expected at most {MAX_FILE}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own, by its implementation
        raise ConfigError(f"not an ONNX file ({type(error).__name__})") from error
    if not model.graph.node:
        raise ConfigError("not an ONNX file (it has no graph with nodes)")
    return model


def check_model(model: Any) -> None:
    """Refuse what no encoder needs: other files, operators of others, huge weights.

    Raises:
        ConfigError: says what the model has.
    """
    foreign = {entry.domain for entry in model.opset_import} | {node.domain for node in _nodes(model.graph)}
    if foreign - DOMAINS or model.functions:
        what = repr(min(foreign - DOMAINS)) if foreign - DOMAINS else "functions of its own"
        raise ConfigError(f"uses operators that are not ONNX's ({what})")
    n_bytes = 0
    for tensor in _tensors(model.graph):
        if tensor.external_data or tensor.data_location:
            raise ConfigError(f"the weights {tensor.name!r} are in another file; expected all weights in this one")
        n_bytes += tensor.ByteSize()
    if n_bytes > MAX_INITIALIZERS:
        raise ConfigError(f"weights of {n_bytes} bytes, expected at most {MAX_INITIALIZERS}")


def cut(model: Any, output: str) -> None:
    """Make a tensor, inner or not, the model's only output, and drop what it does not depend on.

    Raises:
        ConfigError: there is no such tensor.
    """
    graph = model.graph
    produced = {name: node for node in graph.node for name in node.output if name}
    if output not in produced:
        raise ConfigError(f"has no tensor {output!r}; its outputs are {_listed(value.name for value in graph.output)}")
    needed, open_names = set(), [output]
    while open_names:
        name = open_names.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in produced:
            open_names += _inputs(produced[name])
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    kept = [*graph.initializer]
    names = {name for node in nodes for name in _inputs(node)}
    del graph.node[:], graph.initializer[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for tensor in kept if tensor.name in names)
    value = graph.output.add()
    value.name = output
    value.type.tensor_type.elem_type = FLOAT


def inline_weights(model: Any, location: str, content: bytes) -> None:
    """Put weights that lie in one other file into the model.

    Args:
        model: gets the weights.
        location: the name of the other file, as the model has it.
        content: of that file.

    Raises:
        ConfigError: weights lie elsewhere, or not within the file.
    """
    for tensor in _tensors(model.graph):
        if not tensor.data_location:
            continue
        places = {entry.key: entry.value for entry in tensor.external_data}
        if places.get("location") != location:
            raise ConfigError(f"the weights {tensor.name!r} are in {places.get('location')!r}, expected {location!r}")
        begin, length = (int(places.get(key, "0")) for key in ("offset", "length"))
        if not (0 <= begin <= begin + length <= len(content) and length):
            raise ConfigError(f"the weights {tensor.name!r} are not within {location!r}")
        tensor.raw_data = content[begin : begin + length]
        del tensor.external_data[:]
        tensor.ClearField("data_location")


def _graphs(graph: Any, depth: int = 0) -> Iterator[Any]:
    if depth > MAX_NESTING:
        raise ConfigError(f"graphs are nested deeper than {MAX_NESTING}")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _graphs(inner, depth + 1)


def _nodes(graph: Any) -> Iterator[Any]:
    count = 0
    for part in _graphs(graph):
        count += len(part.node)
        if count > MAX_NODES:
            raise ConfigError(f"more than {MAX_NODES} operators")
        yield from part.node


def _tensors(graph: Any) -> Iterator[Any]:
    for part in _graphs(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _inputs(node: Any) -> list[str]:
    """Names of the tensors that a node takes, also those that its inner graphs take from outside."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            for part in _graphs(inner):
                names += [name for below in part.node for name in below.input if name]
                names += [value.name for value in part.output]
    return names


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
