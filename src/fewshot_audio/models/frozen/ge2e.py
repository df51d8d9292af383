"""The voice encoder GE2E of the package resemblyzer, converted from its checkpoint to an ONNX model."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.graph import import_extra

LAYERS, HIDDEN, MELS, FRAMES = 3, 256, 40, 160
_GATES = [0, 3, 1, 2]  # torch has input, forget, cell, output; ONNX has input, output, forget, cell

Weights = dict[str, NDArray[np.float32]]


def convert(checkpoint: bytes) -> Any:
    """Build the model: input ``mels`` (1, frames, 40), output ``embedding`` (1, 256) of length 1.

    Raises:
        ConfigError: the checkpoint is none of this encoder.
    """
    helper, numpy_helper = import_extra("onnx.helper"), import_extra("onnx.numpy_helper")
    weights = _read(checkpoint)
    tensors: Weights = {"linear.weight": weights["linear.weight"], "linear.bias": weights["linear.bias"]}
    nodes, value = [helper.make_node("Transpose", ["mels"], ["steps"], perm=[1, 0, 2])], "steps"
    for layer in range(LAYERS):
        for part in ("weight_ih", "weight_hh"):
            tensors[f"{layer}.{part}"] = _reordered(weights[f"lstm.{part}_l{layer}"])[None]
        biases = [_reordered(weights[f"lstm.bias_{part}_l{layer}"]) for part in ("ih", "hh")]
        tensors[f"{layer}.bias"] = np.concatenate(biases)[None]
        inputs = [value, *(f"{layer}.{part}" for part in ("weight_ih", "weight_hh", "bias"))]
        nodes.append(helper.make_node("LSTM", inputs, [f"{layer}.all", f"{layer}.last"], hidden_size=HIDDEN))
        nodes.append(helper.make_node("Squeeze", [f"{layer}.all", "direction"], [f"{layer}.steps"]))
        value = f"{layer}.steps"
    nodes += [
        helper.make_node("Squeeze", [f"{LAYERS - 1}.last", "first"], ["last"]),
        helper.make_node("Gemm", ["last", "linear.weight", "linear.bias"], ["linear"], transB=1),
        helper.make_node("Relu", ["linear"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["embedding"], axis=1, p=2),
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    for name, axis in (("direction", 1), ("first", 0)):
        initializers.append(numpy_helper.from_array(np.array([axis], np.int64), name))
    inputs = [helper.make_tensor_value_info("mels", 1, [1, "frames", MELS])]
    outputs = [helper.make_tensor_value_info("embedding", 1, [1, HIDDEN])]
    graph = helper.make_graph(nodes, "ge2e", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _read(checkpoint: bytes) -> Weights:
    import torch

    try:
        state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)["model_state"]
        weights = {name: value.float().numpy() for name, value in state.items()}
    except Exception as error:  # torch raises anything for a file that is no checkpoint
        raise ConfigError(f"not a checkpoint of GE2E ({type(error).__name__})") from error
    for name, shape in _shapes().items():
        if name not in weights or weights[name].shape != shape:
            raise ConfigError(f"not a checkpoint of GE2E: {name!r} is missing or not of shape {shape}")
    return weights


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (HIDDEN, HIDDEN), "linear.bias": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes[f"lstm.weight_ih_l{layer}"] = (4 * HIDDEN, HIDDEN if layer else MELS)
        shapes[f"lstm.weight_hh_l{layer}"] = (4 * HIDDEN, HIDDEN)
        shapes |= {f"lstm.bias_{part}_l{layer}": (4 * HIDDEN,) for part in ("ih", "hh")}
    return shapes


def _reordered(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of the four gates in ONNX's order."""
    gates: NDArray[np.float32] = values.reshape(4, HIDDEN, -1)[_GATES].reshape(values.shape)
    return gates
