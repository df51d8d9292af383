"""A small TFLite encoder that tests make; needs ai_edge_litert, whose absence skips them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, WINDOW = 6, 1000
SCALE, ZERO_POINT = 0.5, 3
FULLY_CONNECTED, CUSTOM, QUANTIZE = 9, 32, 114


def weights(seed: int = 0) -> NDArray[np.float32]:
    """Weights of the first layer, (WIDTH, WINDOW)."""
    return (np.random.default_rng(seed).normal(size=(WIDTH, WINDOW)) / 10).astype(np.float32)


def expected_steps(windows: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """What ``steps`` are, computed by numpy. Shape: (windows, WINDOW) -> (windows, WIDTH)."""
    return windows @ weights(seed).T


def tflite_model(seed: int = 0, custom: str | None = None) -> bytes:
    """Input ``waveform`` (1, WINDOW); outputs ``scores`` (1, 2) and ``whole``; inner tensor ``steps`` (1, WIDTH).

    ``whole`` are the steps as 8-bit numbers. An operator of the name ``custom`` is declared if one is given.
    """
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the extra tflite is not installed")
    import flatbuffers

    head = np.random.default_rng(seed + 1).normal(size=(2, WIDTH)).astype(np.float32)
    arrays = [None, weights(seed), head]
    buffers = [_made(schema.BufferT, data=None if a is None else a.view(np.uint8).ravel()) for a in arrays]
    quantization = _made(
        schema.QuantizationParametersT, scale=np.array([SCALE], np.float32), zeroPoint=np.array([ZERO_POINT], np.int64)
    )
    tensors = [
        _made(schema.TensorT, name=name, shape=np.array(shape, np.int32), type=kind, buffer=buffer, quantization=scale)
        for name, shape, kind, buffer, scale in (
            ("waveform", (1, WINDOW), schema.TensorType.FLOAT32, 0, None),
            ("weights", (WIDTH, WINDOW), schema.TensorType.FLOAT32, 1, None),
            ("steps", (1, WIDTH), schema.TensorType.FLOAT32, 0, None),
            ("head", (2, WIDTH), schema.TensorType.FLOAT32, 2, None),
            ("scores", (1, 2), schema.TensorType.FLOAT32, 0, None),
            ("whole", (1, WIDTH), schema.TensorType.INT8, 0, quantization),
        )
    ]
    kinds = [FULLY_CONNECTED, QUANTIZE, *([CUSTOM] if custom else [])]
    codes = [_made(schema.OperatorCodeT, deprecatedBuiltinCode=kind, builtinCode=kind, version=1) for kind in kinds]
    if custom:
        codes[-1].customCode = custom
    operators = [
        _made(schema.OperatorT, opcodeIndex=code, inputs=np.array(taken, np.int32), outputs=np.array([made], np.int32))
        for code, taken, made in ((0, (0, 1, -1), 2), (0, (2, 3, -1), 4), (1, (2,), 5))
    ]
    for operator in operators[:2]:
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph = _made(
        schema.SubGraphT,
        tensors=tensors,
        inputs=np.array([0], np.int32),
        outputs=np.array([4, 5], np.int32),
        operators=operators,
    )
    model = _made(schema.ModelT, version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _made(kind: Any, **values: Any) -> Any:
    made = kind()
    vars(made).update(values)
    return made
