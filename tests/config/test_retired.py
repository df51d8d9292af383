"""Keys that version 0.1 was the last to have: ignored at their defaults, refused by name at other values."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config import ExperimentConfig, read_configs, validate
from fewshot_audio.errors import ConfigError
from tests.config.conftest import Write
from tests.tiny import tiny_configs

RETIRED = [
    ("learn_score_scale", False, True),
    ("way_schedule", [], [[1, 5]]),
    ("input_augmentation.mix", 0.0, 0.4),
]


def nested(key: str, value: Any) -> dict[str, Any]:
    *above, name = key.split(".")
    return {above[0]: {name: value}} if above else {name: value}


@pytest.mark.parametrize(("key", "default", "other"), RETIRED)
def test_a_retired_key_at_its_default_is_left_out_with_a_note(
    key: str, default: Any, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plain = tiny_configs()[0]
    values = plain.model_dump(exclude={"input_augmentation"}) | nested(key, default)
    with caplog.at_level(logging.INFO, "fewshot_audio"):
        assert validate(ExperimentConfig, values, "there") == plain
    (note,) = caplog.messages
    assert f"{key.rpartition('.')[2]!r} is ignored: it was removed after version 0.1" in note


@pytest.mark.parametrize(("key", "default", "other"), RETIRED)
def test_a_retired_key_at_another_value_is_refused(key: str, default: Any, other: Any) -> None:
    values = tiny_configs()[0].model_dump(exclude={"input_augmentation"}) | nested(key, other) | {"lr": 0}
    with pytest.raises(ConfigError) as error:
        validate(ExperimentConfig, values, "there")
    first, second = sorted(str(error.value).splitlines(), key=lambda line: "'lr'" in line)
    assert first.startswith(f"there: key {key!r}: version 0.1 of fewshot-audio was the last to have it")
    assert first.endswith(f"(found {other!r})")
    assert "'lr'" in second  # beside the other problems


@pytest.mark.parametrize(("key", "default", "other"), RETIRED)
def test_a_retired_key_may_be_set_to_its_default_only(
    key: str, default: Any, other: Any, write: Write, documented: dict[str, dict[str, Any]]
) -> None:
    files = write(documented["experiment"], documented["model"])
    assert read_configs(*files, [f"{key}={json.dumps(default)}"]) == read_configs(*files)
    with pytest.raises(ConfigError, match=r"version 0\.1 of fewshot-audio was the last to have it"):
        read_configs(*files, [f"{key}={json.dumps(other)}"])


def test_a_misspelled_retired_key_is_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'way_schedul'"):
        validate(ExperimentConfig, tiny_configs()[0].model_dump() | {"way_schedul": []}, "there")
