"""Names of frozen encoders in configs: which are read, how paths in them are located, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fewshot_audio.config import check_configs, read_configs
from fewshot_audio.config.frozen import PACKAGED_NAMES
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.packages import PACKAGED
from tests.tiny import tiny_configs
from tests.tiny_encoders import describe

WAVE: dict[str, Any] = {"input_type": "wav", "specaug_params.use": False}


def write(folder: Path, encoder_name: Any) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    experiment, model = tiny_configs(WAVE)
    files = folder / "experiment.json", folder / "model.json"
    files[0].write_text(json.dumps(experiment.model_dump() | {"encoder_name": encoder_name}))
    files[1].write_text(json.dumps(model.model_dump()))
    return files


def test_the_names_are_those_that_packages_bring() -> None:
    assert set(PACKAGED_NAMES) == set(PACKAGED)


@pytest.mark.parametrize("name", ["yamnet", ["yamnet"], ["ge2e", "onnx:/some/own.onnx", "tflite:/x.tflite", "run:/a"]])
def test_names_of_frozen_encoders_are_read(tmp_path: Path, name: Any) -> None:
    experiment, model = read_configs(*write(tmp_path, name))
    assert experiment.encoder_name == name
    assert model.encoder(experiment.encoder_name) is model.Frozen


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path / "configs", ["onnx:own.onnx", "run:../runs/run-1"])
    monkeypatch.chdir(tmp_path)
    experiment, _ = read_configs(*files)
    configs = tmp_path / "configs"
    assert experiment.encoder_name == [f"onnx:{configs / 'own.onnx'}", f"run:{configs / '../runs/run-1'}"]
    changed, _ = read_configs(*files, ["encoder_name=onnx:mine.onnx"])
    assert changed.encoder_name == f"onnx:{tmp_path / 'mine.onnx'}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("yamnett", "there is no encoder 'yamnett', did you mean 'yamnet'?"),
        (
            ["yamnet", "CNN"],
            "'CNN' cannot stand in a list: expected 'yamnet', 'ge2e', 'birdnet', 'speech-embedding', 'livekit-speech', "
            "'onnx:<file>', 'tflite:<file>' or 'run:<run folder>'",
        ),
        (["yamnet", "hf:folder"], "'hf:folder' cannot stand in a list"),
        (["yamnet", "yamnet"], "an encoder is named twice"),
        ([], "expected 1 to 8 encoders"),
        ([f"onnx:{number}" for number in range(9)], "expected 1 to 8 encoders"),
        ("onnx:", "expected a path after 'onnx:'"),
        ("tflite:", "expected a path after 'tflite:'"),
    ],
)
def test_what_cannot_be_an_encoder_is_refused(tmp_path: Path, name: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder_name") as refusal:
        read_configs(*write(tmp_path, name))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_type": "spec"}, 'reads waveforms, but input_type is "spec"'),
        ({"members": 2}, "a frozen encoder cannot be joined with others"),
        ({"input_augmentation": {"time_masks": 1}}, "input_augmentation changes spectrograms"),
        ({"Frozen.definition": [describe(name="ge2e").model_dump()]}, "Frozen.definition describes ['ge2e']"),
    ],
)
def test_keys_that_contradict_a_frozen_encoder_are_refused(changes: dict[str, Any], words: str) -> None:
    experiment, model = tiny_configs(WAVE | {"encoder_name": "yamnet"} | changes)
    with pytest.raises(ConfigError) as refusal:
        check_configs(experiment, model)
    assert words in str(refusal.value)


def test_a_definition_has_as_many_encoders_as_can_be_side_by_side() -> None:
    with pytest.raises(ValidationError, match="at most 8 items"):
        tiny_configs({"Frozen.definition": [{}] * 9})
