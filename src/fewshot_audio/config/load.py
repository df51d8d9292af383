"""Reading the two JSON files: overrides, strict checks, and errors that name the key and the nearest valid one."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fewshot_audio.config.base import Section
from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.keys import subsection
from fewshot_audio.config.model import ModelConfig
from fewshot_audio.errors import ConfigError

EXPERIMENT_FILE, MODEL_CONFIG_FILE = "experiment_config.json", "model_config.json"

S = TypeVar("S", bound=Section)


def read_configs(experiment: Path, model: Path, overrides: Sequence[str] = ()) -> tuple[ExperimentConfig, ModelConfig]:
    """Read an experiment file and a model file and apply ``key.sub=value`` overrides.

    The first part of an override's key decides which file it changes. Values are JSON; what is not JSON is a string.

    Raises:
        ConfigError: one line for each problem.
    """
    values = {"experiment": read_json(experiment), "model": read_json(model)}
    _check_kind(experiment, values["experiment"], ExperimentConfig, "an experiment", ModelConfig, "a model")
    _check_kind(model, values["model"], ModelConfig, "a model", ExperimentConfig, "an experiment")
    for override in overrides:
        _assign(*parse_override(override), values, f"--set {override!r}")
    return (
        validate(ExperimentConfig, values["experiment"], str(experiment)),
        validate(ModelConfig, values["model"], str(model)),
    )


def _check_kind(
    path: Path, values: dict[str, Any], expected: type[Section], kind: str, other: type[Section], other_kind: str
) -> None:
    """Refuse a file with no key of its own kind, but some of the other kind: the two files were swapped."""
    if not values.keys() & expected.model_fields.keys() and values.keys() & other.model_fields.keys():
        raise ConfigError(
            f"{path}: this is {other_kind} file, expected {kind} file (-e names the experiment file, -m the model file)"
        )


def read_experiment(experiment: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file alone and apply overrides of its keys. Raises ConfigError."""
    values = {"experiment": read_json(experiment), "model": {}}
    for override in overrides:
        _assign(*parse_override(override), values, f"--set {override!r}")
    return validate(ExperimentConfig, values["experiment"], str(experiment))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; duplicate keys and non-finite numbers are errors."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_json(content, str(path))


def parse_json(content: bytes, origin: str) -> dict[str, Any]:
    """Parse a JSON object; ``origin`` is the file that errors name.

    Raises:
        ConfigError: it is no JSON object, has a key twice in one object, or a number that is not finite.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ConfigError(f"{origin}: key {key!r} appears twice in one object")
            result[key] = value
        return result

    def refuse(constant: str) -> None:
        raise ConfigError(f"{origin}: {constant} is not a finite number")

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{origin}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin}: cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise ConfigError(f"{origin}: not readable JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{origin}: expected a JSON object, found {type(value).__name__}")
    return value


def validate(section: type[S], value: Any, where: str) -> S:
    """Validate a JSON value as ``section``; each line of the ConfigError begins with ``where``, the name of a file."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        lines = [f"{where}: {_explain(section, details)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _hint(name: str, keys: Iterable[str]) -> str:
    """Return `` (nearest known key: 'x')`` or, if none is near, the list of all keys."""
    by_lower_case = {key.lower(): key for key in keys}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    if close:
        return f" (nearest known key: {by_lower_case[close[0]]!r})"
    return f" (known keys: {', '.join(by_lower_case.values())})"


def change_configs(
    experiment: ExperimentConfig, model: ModelConfig, changes: Mapping[str, Any], where: str
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair with other values of dotted keys; a key's first part decides which file it changes.

    Raises:
        ConfigError: one line for each problem, each beginning with ``where``.
    """
    values = {"experiment": experiment.model_dump(), "model": model.model_dump()}
    for path, value in changes.items():
        _assign(path, value, values, where)
    return validate(ExperimentConfig, values["experiment"], where), validate(ModelConfig, values["model"], where)


def parse_override(override: str) -> tuple[str, Any]:
    """Split ``key.sub=value`` into the dotted key and the value: JSON, or else a string."""
    path, equals, text = override.partition("=")
    if not equals or not all(path.strip().split(".")):
        raise ConfigError(f"--set {override!r}: expected key=value or key.sub=value")
    try:
        return path.strip(), json.loads(text)
    except ValueError:
        return path.strip(), text


def _assign(path: str, value: Any, values: dict[str, dict[str, Any]], where: str) -> None:
    """Set a dotted key in the file that its first part belongs to."""
    keys = path.split(".")
    section: type[BaseModel] | None
    if keys[0] in ExperimentConfig.model_fields:
        section, target = ExperimentConfig, values["experiment"]
    elif keys[0] in ModelConfig.model_fields:
        section, target = ModelConfig, values["model"]
    else:
        hint = _hint(keys[0], [*ExperimentConfig.model_fields, *ModelConfig.model_fields])
        raise ConfigError(f"{where}: unknown key {keys[0]!r}{hint}")
    for depth, key in enumerate(keys):
        if section is None:
            raise ConfigError(f"{where}: {'.'.join(keys[:depth])!r} has no keys below it")
        if key not in section.model_fields:
            raise ConfigError(f"{where}: unknown key {key!r}{_hint(key, section.model_fields)}")
        if depth < len(keys) - 1:
            section = subsection(section, key)
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{where}: {'.'.join(keys[: depth + 1])!r} is not an object in the file")
    target[keys[-1]] = value


def _explain(section: type[BaseModel], details: ErrorDetails) -> str:
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        owner: type[BaseModel] | None = section
        for part in location[:-1]:
            owner = subsection(owner, part) if owner else None
        return f"unknown key {key!r}{_hint(location[-1], owner.model_fields if owner else ())}"
    if details["type"] == "missing":
        return f"missing key {key!r}"
    value = "" if isinstance(details["input"], dict) else f" (found {details['input']!r})"
    if details["type"] == "model_type":
        return f"key {key!r}: expected an object{value}"
    return f"key {key!r}: {details['msg'].removeprefix('Value error, ')}{value}" if key else details["msg"]
