"""Descriptions of frozen encoders, and encoders at work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soxr
from onnx import helper
from pydantic import ValidationError

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.conversion import converted, sha256
from fewshot_audio.models.frozen.description import read_description
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from tests.tiny_encoders import describe, expected_steps, waveform_model, write_encoder

SAMPLES = np.random.default_rng(0).normal(size=4000).astype(np.float32)
MEL = {
    "n_fft": 256,
    "window_length": 256,
    "hop_length": 100,
    "n_mels": 8,
    "high": 4000.0,
    "scale": "htk",
    "equal_area": False,
    "power": 1,
    "centered": False,
    "logarithm": "none",
}


def encoder(model: onnx.ModelProto | None = None, **changes: Any) -> FrozenEncoder:
    description = describe(**changes)
    content = converted("onnx", (model or waveform_model()).SerializeToString(), description.output)
    return FrozenEncoder(description.model_copy(update={"sha256": sha256(content)}), content)


def identity(shape: list[int | str], kind: int = 1) -> onnx.ModelProto:
    """A model that returns its input ``x`` as ``y``, float32."""
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=1)]
    inputs, outputs = helper.make_tensor_value_info("x", kind, shape), helper.make_tensor_value_info("y", 1, None)
    graph = helper.make_graph(nodes, "identity", [inputs], [outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_an_inner_tensor_gives_the_steps_of_a_sound_taken_as_a_whole() -> None:
    assert encoder().steps(SAMPLES) == pytest.approx(expected_steps(SAMPLES), abs=1e-5)


def test_windows_give_their_steps_one_after_another() -> None:
    steps = encoder(takes="windows", window=1000, hop=600).steps(SAMPLES)
    windows = [SAMPLES[start : start + 1000] for start in (0, 600, 1200, 1800, 2400, 3000)]
    assert steps == pytest.approx(np.concatenate([expected_steps(window) for window in windows]), abs=1e-5)


@pytest.mark.parametrize("takes", ["whole", "windows"])
def test_a_short_sound_is_filled_up_by_zeros(takes: str) -> None:
    padded = np.pad(SAMPLES[:300], (0, 700))
    assert encoder(takes=takes).steps(SAMPLES[:300]) == pytest.approx(expected_steps(padded), abs=1e-5)


@pytest.mark.parametrize(("pooling", "pool"), [("mean", np.mean), ("max", np.max)])
def test_a_clip_is_brought_to_the_rate_and_the_level_and_pooled(pooling: str, pool: Any) -> None:
    embedding = encoder(pooling=pooling, level=0.25).embed(SAMPLES, 16_000)
    expected = expected_steps(0.25 * soxr.resample(SAMPLES, 16_000, 8000, quality="HQ").astype(np.float32))
    assert embedding == pytest.approx(pool(expected, axis=0), abs=1e-5)


@pytest.mark.parametrize(
    ("layout", "order"), [(["one", "frames", "mels"], (0, 1)), (["one", "mels", "one", "frames"], (1, 0))]
)
def test_frames_of_a_front_end_are_laid_out_as_described(layout: list[str], order: tuple[int, int]) -> None:
    changes: dict[str, Any] = {"takes": "windows", "window": 5, "hop": 5, "input": "x", "output": "y"}
    shape: list[int | str] = [1, 5, 8] if order == (0, 1) else [1, 8, 1, 5]
    own = encoder(identity(shape), front_end=MEL, layout=layout, width=40, **changes)
    assert own._front_end is not None
    frames = own._front_end(SAMPLES)
    steps = own.steps(SAMPLES)
    assert len(steps) == len(frames) // 5
    assert steps[1] == pytest.approx(frames[5:10].transpose(order).ravel())


def test_numbers_become_whole_ones_for_a_quantized_input() -> None:
    own = encoder(
        identity([1, "n"], 2), input="x", output="y", width=1, window=1, quantization={"scale": 0.5, "zero_point": 100}
    )
    assert own.steps(np.array([0.0, 1.2, -300.0, 300.0], np.float32))[:, 0].tolist() == [100, 102, 0, 255]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "audio"}, r"its inputs are \['waveform'\], expected 'audio' alone"),
        ({"layout": ["samples"]}, r"its input has 2 axes, but layout is \['samples'\]"),
        ({"width": 7}, "expected steps of width 7"),
        ({"window": 10, "takes": "windows"}, "does not take an input of shape"),
    ],
)
def test_a_wrong_description_is_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"encoder 'tiny' \(tiny.onnx\): .*{message}"):
        encoder(**changes).steps(SAMPLES)


def test_a_missing_tensor_is_named_beside_the_outputs() -> None:
    with pytest.raises(ConfigError, match="has no tensor 'embedding'; its outputs are 'scores'"):
        encoder(output="embedding")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_output_that_is_not_finite_is_refused(value: float) -> None:
    own = encoder(identity([1, "n"]), input="x", output="y", width=1, window=1)
    with pytest.raises(ConfigError, match="not finite or too large"):
        own.steps(np.array([value], np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../tiny.onnx"}, "file"),
        ({"name": "Tiny one"}, "name"),
        ({"layout": ["one", "frames"]}, "expected samples once each"),
        ({"layout": ["samples"], "front_end": MEL}, "expected frames and mels once each"),
        ({"front_end": MEL | {"high": 4001.0}, "layout": ["frames", "mels"]}, "expected at most half"),
        ({"front_end": MEL, "layout": ["frames", "mels"], "window": 1 << 24}, "window"),
        ({"format": 2}, "format"),
        ({"license": "two\nlines"}, "license"),
        ({"layers": 3}, "layers"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        describe(**changes)


def test_the_digest_tells_what_changes_embeddings_from_what_does_not() -> None:
    own = describe().digest
    assert describe(name="other", license="MIT", source="elsewhere", file="other.onnx").digest == own
    for changes in ({"sha256": "1" * 64}, {"level": 0.5}, {"output": "mean"}, {"pooling": "max"}):
        assert describe(**changes).digest != own


def test_a_description_is_read_from_its_file_and_errors_name_it(tmp_path: Path) -> None:
    path = write_encoder(tmp_path).with_suffix(".json")
    assert read_description(path).sha256 == sha256((tmp_path / "tiny.onnx").read_bytes())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pooling": "sum"}))
    with pytest.raises(ConfigError, match=r"tiny\.json: key 'pooling'"):
        read_description(path)
    path.write_text(" " * (1 << 17))
    with pytest.raises(ConfigError, match=r"tiny\.json: more than 65536 bytes"):
        read_description(path)


def test_another_file_than_the_described_one_is_refused(tmp_path: Path) -> None:
    path = write_encoder(tmp_path, sha256="a" * 64)
    with pytest.raises(ConfigError, match=r"tiny\.onnx: its SHA-256 is"):
        FrozenEncoder.read(read_description(path.with_suffix(".json")), path)
