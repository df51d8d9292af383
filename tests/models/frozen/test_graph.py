"""ONNX files that strangers may have made, before onnxruntime sees them."""

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen import graph
from fewshot_audio.models.frozen.conversion import converted
from tests.tiny_encoders import KERNEL, WIDTH, filters, waveform_model


def in_a_branch(node: onnx.NodeProto, tensors: list[onnx.TensorProto]) -> onnx.ModelProto:
    """``waveform_model`` with a node that has an inner graph."""
    model = waveform_model()
    inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("z", 1, None)], tensors)
    model.graph.node.append(helper.make_node("If", ["yes"], ["branch"], then_branch=inner, else_branch=inner))
    return model


def external(tensor: onnx.TensorProto, location: str, offset: int = 0, length: int = 0) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def test_weights_in_another_file_are_refused_wherever_they_are() -> None:
    model = waveform_model()
    external(model.graph.initializer[1], "/etc/passwd")
    with pytest.raises(ConfigError, match="'filters' are in another file"):
        graph.check_model(model)
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "secret")
    external(tensor, "/etc/passwd")
    node = helper.make_node("Identity", ["secret"], ["z"])
    with pytest.raises(ConfigError, match="'secret' are in another file"):
        graph.check_model(in_a_branch(node, [tensor]))
    constant = helper.make_node("Constant", [], ["z"], value=tensor)
    with pytest.raises(ConfigError, match="in another file"):
        graph.check_model(in_a_branch(constant, []))


def test_operators_of_others_are_refused_wherever_they_are() -> None:
    foreign = helper.make_node("Evil", ["waveform"], ["z"], domain="com.example")
    for model in (waveform_model(), in_a_branch(foreign, [])):
        if model.graph.node[-1].op_type != "If":
            model.graph.node.append(foreign)
        with pytest.raises(ConfigError, match=r"not ONNX's \('com\.example'\)"):
            graph.check_model(model)
    model = waveform_model()
    model.functions.add().name = "own"
    with pytest.raises(ConfigError, match="functions of its own"):
        graph.check_model(model)


def test_huge_and_deep_models_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = waveform_model()
    graph.check_model(model)
    monkeypatch.setattr(graph, "MAX_INITIALIZERS", WIDTH * KERNEL)
    with pytest.raises(ConfigError, match=r"weights of .* bytes, expected at most"):
        graph.check_model(model)
    monkeypatch.setattr(graph, "MAX_NODES", 3)
    with pytest.raises(ConfigError, match="more than 3 operators"):
        graph.check_model(model)
    monkeypatch.setattr(graph, "MAX_NODES", 100)
    monkeypatch.setattr(graph, "MAX_NESTING", 0)
    with pytest.raises(ConfigError, match="nested deeper than 0"):
        graph.check_model(in_a_branch(helper.make_node("Identity", ["waveform"], ["z"]), []))


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100), b"\x0a" * 1000])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="not an ONNX file"):
        graph.parse(content)


def test_what_an_inner_tensor_does_not_need_is_dropped() -> None:
    model = waveform_model()
    graph.cut(model, "steps")
    assert [node.op_type for node in model.graph.node] == ["Unsqueeze", "Conv", "Abs", "Transpose"]
    assert sorted(tensor.name for tensor in model.graph.initializer) == ["axis", "filters"]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [value.name for value in session.get_outputs()] == ["steps"]


def test_what_inner_graphs_take_from_outside_is_kept() -> None:
    model = in_a_branch(helper.make_node("Identity", ["steps"], ["z"]), [])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    graph.cut(model, "branch")
    assert "Conv" in [node.op_type for node in model.graph.node]
    onnxruntime.InferenceSession(model.SerializeToString())


def archive(model: onnx.ModelProto, weights: bytes, *, name: str = "folder/model.data") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr("folder/model.onnx", model.SerializeToString())
        zipped.writestr(name, weights)
    return stream.getvalue()


def test_weights_beside_a_zipped_model_are_put_into_it() -> None:
    model, weights = waveform_model(), b"head" + filters().tobytes()
    external(model.graph.initializer[1], "model.data", 4, filters().nbytes)
    own = converted("zipped", archive(model, weights), "steps")
    assert own == converted("onnx", waveform_model().SerializeToString(), "steps")


@pytest.mark.parametrize(
    ("location", "offset", "length", "message"),
    [
        ("../model.data", 0, 4, r"in '\.\./model\.data', expected 'model\.data'"),
        ("model.data", 4, 1 << 20, "not within"),
        ("model.data", -4, 4, "not within"),
        ("model.data", 0, 0, "not within"),
    ],
)
def test_weights_elsewhere_are_refused(location: str, offset: int, length: int, message: str) -> None:
    model = waveform_model()
    external(model.graph.initializer[1], location, offset, length)
    with pytest.raises(ConfigError, match=message):
        converted("zipped", archive(model, filters().tobytes()), "steps")


@pytest.mark.parametrize("content", [b"PK", archive(waveform_model(), b"", name="more.onnx"), b""])
def test_archives_of_anything_else_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"zip archive|in the archive"):
        converted("zipped", content, "steps")
