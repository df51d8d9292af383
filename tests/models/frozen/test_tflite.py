"""TFLite files: what is refused before the interpreter sees it, and encoders at work."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.conversion import converted, sha256
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.installed import encoders_folder, installed_encoder, open_encoder
from fewshot_audio.models.frozen.references import find_encoder
from fewshot_audio.models.frozen.tflite import with_output
from tests.tiny_encoders import describe
from tests.tiny_tflite import SCALE, WINDOW, expected_steps, tflite_model

SAMPLES = np.random.default_rng(7).normal(size=2 * WINDOW + 500).astype(np.float32)
NO_MODEL = b"\x10\0\0\0TFL3" + bytes(100)


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without encoders."""
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path / "user data" / name))


def described(**changes: Any) -> EncoderDescription:
    return describe(**{"file": "tiny.tflite", "takes": "windows", "window": WINDOW, "hop": WINDOW} | changes)


def encoder(**changes: Any) -> FrozenEncoder:
    description = described(**changes)
    return FrozenEncoder(description, with_output(tflite_model(), description.output))


def write(folder: Path, content: bytes, **changes: Any) -> Path:
    description = described(**changes)
    path = folder / description.file
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(description.model_dump(exclude_none=True)))
    return path


def test_an_inner_tensor_gives_the_steps_of_windows() -> None:
    windows = SAMPLES[: 2 * WINDOW].reshape(2, WINDOW)
    assert encoder().steps(SAMPLES) == pytest.approx(expected_steps(windows), abs=1e-4)


def test_other_outputs_are_dropped_and_all_else_stays() -> None:
    content = tflite_model()
    changed = np.frombuffer(with_output(content, "steps"), np.uint8)
    original = np.frombuffer(content, np.uint8)
    assert len(changed) == len(original)
    assert 0 < (changed != original).sum() <= 8  # two numbers of tensors
    assert with_output(with_output(content, "steps"), "steps") == changed.tobytes()


def test_numbers_of_8_bits_become_what_they_stand_for() -> None:
    own = encoder(output="whole").steps(SAMPLES[:WINDOW])
    expected = expected_steps(SAMPLES[None, :WINDOW])
    assert np.abs(expected).max() > 2
    assert own == pytest.approx(expected, abs=SCALE / 2 + 1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "audio"}, r"its inputs are \['waveform'\], expected 'audio' alone"),
        ({"layout": ["samples"]}, r"its input has 2 axes, but layout is \['samples'\]"),
        ({"width": 7}, "expected steps of width 7"),
        ({"window": 10}, "does not take an input of shape"),
    ],
)
def test_a_wrong_description_is_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"encoder 'tiny' \(tiny.tflite\): .*{message}"):
        encoder(**changes).steps(SAMPLES)


def test_after_an_input_that_does_not_fit_others_are_computed() -> None:
    own = encoder()
    with pytest.raises(ConfigError, match="does not take an input of shape"):
        own._session.run(np.zeros((1, 10), np.float32))
    assert own.steps(SAMPLES[:WINDOW]) == pytest.approx(expected_steps(SAMPLES[None, :WINDOW]), abs=1e-4)


def test_a_missing_tensor_is_named_beside_the_outputs() -> None:
    with pytest.raises(ConfigError, match="has no tensor 'embedding'; its outputs are 'scores', 'whole'"):
        encoder(output="embedding")


def test_a_file_whose_only_output_is_another_tensor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder 'tiny' \(tiny.tflite\): it has no output 'steps'"):
        FrozenEncoder(described(), with_output(tflite_model(), "scores"))


def test_operators_of_others_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"uses operators that are not TFLite's \('Evil'\)"):
        with_output(tflite_model(custom="Evil"), "steps")


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100)])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="not a TFLite file"):
        with_output(content, "steps")


def test_files_with_offsets_that_lead_anywhere_are_refused() -> None:
    content = tflite_model()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in random.integers(8, 2000, 20):
            damaged[place % len(damaged)] = random.integers(256)
        try:
            with_output(bytes(damaged), "steps")
        except ConfigError:
            refused += 1
    assert refused > 20
    with pytest.raises(ConfigError, match="not a readable TFLite file"):
        with_output(NO_MODEL, "steps")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> Any:
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"encoders need ai_edge_litert: pip install 'fewshot-audio\[tflite\]'"):
        with_output(NO_MODEL, "steps")


@pytest.mark.parametrize("reference", ["onnx:tiny.tflite", "tflite:tiny.onnx"])
def test_the_prefix_is_that_of_the_kind_of_file(reference: str) -> None:
    with pytest.raises(ConfigError, match=r"expected 'tflite:' before files in \.tflite, and only these"):
        find_encoder(reference, named_by_user=True)


def test_a_file_that_its_user_names_is_checked_and_kept_and_a_config_may_name_it_then(tmp_path: Path) -> None:
    path = write(tmp_path, tflite_model())
    reference = f"tflite:{path}"
    with pytest.raises(ConfigError, match=r"encoders add tiny --from-file .*tiny\.tflite"):
        find_encoder(reference)
    assert not encoders_folder().exists()
    added = find_encoder(reference, named_by_user=True)
    assert (added.file, added.sha256) == ("model.tflite", sha256(converted("tflite", path.read_bytes(), "steps")))
    own = open_encoder(installed_encoder("tiny"))
    assert own.steps(SAMPLES[:WINDOW]) == pytest.approx(expected_steps(SAMPLES[None, :WINDOW]), abs=1e-4)
    assert find_encoder(reference) == added
    path.write_bytes(tflite_model(seed=1))
    with pytest.raises(ConfigError, match="must be an encoder of yours"):
        find_encoder(reference)


def test_a_file_that_a_config_names_is_never_computed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.tflite: not a TFLite file"):
        find_encoder(f"tflite:{write(tmp_path, b'text')}")
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read"):
        find_encoder(f"tflite:{tmp_path / 'absent.tflite'}")


def test_the_name_of_the_file_says_what_it_is_and_changes_no_digest() -> None:
    assert described().is_tflite
    assert not describe().is_tflite
    assert described().digest == describe(takes="windows", window=WINDOW, hop=WINDOW).digest
