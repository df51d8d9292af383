"""Small ONNX encoders that tests make, their descriptions, and a user's folder for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fewshot_audio.models.frozen.check import CheckedEncoder
from fewshot_audio.models.frozen.conversion import sha256
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.installed import install

WIDTH, KERNEL, STRIDE = 6, 64, 32


def filters(seed: int = 0) -> NDArray[np.float32]:
    """Random band-pass filters, (WIDTH, 1, KERNEL)."""
    random, time = np.random.default_rng(seed), np.arange(KERNEL)
    frequencies = random.uniform(0.1, 3.0, size=(WIDTH, 1))
    return (np.hanning(KERNEL) * np.sin(frequencies * time))[:, None].astype(np.float32)


def waveform_model(seed: int = 0) -> onnx.ModelProto:
    """Input ``waveform`` (1, samples); output ``scores`` (1, 2); inner tensor ``steps`` (1, steps, WIDTH)."""
    head = np.random.default_rng(seed + 1).normal(size=(WIDTH, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["channel"]),
        helper.make_node("Conv", ["channel", "filters"], ["filtered"], strides=[STRIDE]),
        helper.make_node("Abs", ["filtered"], ["loudness"]),
        helper.make_node("Transpose", ["loudness"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["steps"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["scores"]),
    ]
    arrays = {"axis": np.array([1], np.int64), "filters": filters(seed), "head": head}
    initializers = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("waveform", 1, [1, "samples"])],
        [helper.make_tensor_value_info("scores", 1, [1, 2])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def expected_steps(samples: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """What ``steps`` are, computed by numpy. Shape: (samples,) -> (steps, WIDTH)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, KERNEL)[::STRIDE]
    return np.abs(windows @ filters(seed)[:, 0].T)


def describe(**changes: Any) -> EncoderDescription:
    """The description of ``waveform_model``, which takes half a second of 8 kHz as a whole."""
    values: dict[str, Any] = {
        "name": "tiny",
        "file": "tiny.onnx",
        "sha256": "0" * 64,
        "sample_rate": 8000,
        "level": 1.0,
        "takes": "whole",
        "window": 1000,
        "input": "waveform",
        "layout": ["one", "samples"],
        "output": "steps",
        "width": WIDTH,
        "license": "none needed",
        "source": "made by a test",
    }
    return EncoderDescription.model_validate(values | changes)


def write_encoder(folder: Path, model: onnx.ModelProto | None = None, **changes: Any) -> Path:
    """Write a model with its description beside it; returns the model's path."""
    content = (model or waveform_model()).SerializeToString()
    description = describe(**{"sha256": sha256(content)} | changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / description.file).write_bytes(content)
    values = description.model_dump(exclude_none=True)
    (folder / description.file).with_suffix(".json").write_text(json.dumps(values))
    return folder / description.file


def install_tiny(name: str = "tiny", seed: int = 0, **changes: Any) -> EncoderDescription:
    """Keep an encoder in the user's folder without the check in a process of its own."""
    from fewshot_audio.models.frozen.conversion import converted

    content = converted("onnx", waveform_model(seed).SerializeToString(), "steps")
    description = describe(name=name, sha256=sha256(content), **changes)
    return install(CheckedEncoder(description, content, sha256(content), 0.0))
