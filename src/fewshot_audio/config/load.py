"""Reading the two JSON files: overrides, strict checks, and errors that name the key and the nearest known one."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fewshot_audio.config.base import Section
from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.model import ModelConfig
from fewshot_audio.errors import ConfigError

EXPERIMENT_FILE, MODEL_CONFIG_FILE = "experiment_config.json", "model_config.json"

S = TypeVar("S", bound=Section)


def read_configs(experiment: Path, model: Path, overrides: Sequence[str] = ()) -> tuple[ExperimentConfig, ModelConfig]:
    """Read an experiment file and a model file and apply ``key.sub=value`` overrides.

    An override's first key says which file it belongs to. Values are JSON; what is not JSON is a string.
    Raises ConfigError with every problem found, one a line.
    """
    values = {"experiment": read_json(experiment), "model": read_json(model)}
    for override in overrides:
        _apply(override, values)
    return (
        validate(ExperimentConfig, values["experiment"], str(experiment)),
        validate(ModelConfig, values["model"], str(model)),
    )


def read_experiment(experiment: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file alone and apply overrides of its keys. Raises ConfigError."""
    values = {"experiment": read_json(experiment), "model": {}}
    for override in overrides:
        _apply(override, values)
    return validate(ExperimentConfig, values["experiment"], str(experiment))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; duplicate keys and non-finite numbers are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ConfigError(f"{path}: key {key!r} appears twice in one object")
            result[key] = value
        return result

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        value = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise ConfigError(f"{path}: not readable JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def validate(section: type[S], value: Any, where: str) -> S:
    """Validate a JSON value as ``section``; ``where`` (a file's name) opens each line of the ConfigError."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        lines = [f"{where}: {_explain(section, details)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint `` (nearest known key: 'x')`` or, with nothing near, the list of known keys."""
    known = list(known)
    by_case = {key.lower(): key for key in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.5)
    return f" (nearest known key: {by_case[close[0]]!r})" if close else f" (known keys: {', '.join(known)})"


def change_configs(
    experiment: ExperimentConfig, model: ModelConfig, changes: Mapping[str, Any], where: str
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair with other values of dotted keys; a key's first part says which file it belongs to.

    Raises ConfigError with every problem found, one a line, each opened by ``where``.
    """
    values = {"experiment": experiment.model_dump(), "model": model.model_dump()}
    for path, value in changes.items():
        _assign(path, value, values, where)
    return validate(ExperimentConfig, values["experiment"], where), validate(ModelConfig, values["model"], where)


def parse_override(override: str) -> tuple[str, Any]:
    """Split ``key.sub=value`` into the dotted key and the value, which is JSON or, if it is not, a string."""
    path, equals, text = override.partition("=")
    if not equals or not all(path.strip().split(".")):
        raise ConfigError(f"--set {override!r}: expected key=value or key.sub=value")
    try:
        return path.strip(), json.loads(text)
    except ValueError:
        return path.strip(), text


def _apply(override: str, values: dict[str, dict[str, Any]]) -> None:
    path, value = parse_override(override)
    _assign(path, value, values, f"--set {override!r}")


def _assign(path: str, value: Any, values: dict[str, dict[str, Any]], where: str) -> None:
    """Put a value at a dotted key of the file that the key's first part belongs to."""
    keys = path.split(".")
    section: type[BaseModel] | None
    if keys[0] in ExperimentConfig.model_fields:
        section, target = ExperimentConfig, values["experiment"]
    elif keys[0] in ModelConfig.model_fields:
        section, target = ModelConfig, values["model"]
    else:
        hint = nearest(keys[0], [*ExperimentConfig.model_fields, *ModelConfig.model_fields])
        raise ConfigError(f"{where}: unknown key {keys[0]!r}{hint}")
    for depth, key in enumerate(keys):
        if section is None:
            raise ConfigError(f"{where}: {'.'.join(keys[:depth])!r} has no keys below it")
        if key not in section.model_fields:
            raise ConfigError(f"{where}: unknown key {key!r}{nearest(key, section.model_fields)}")
        if depth < len(keys) - 1:
            section = _subsection(section, key)
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{where}: {'.'.join(keys[: depth + 1])!r} is not an object in the file")
    target[keys[-1]] = value


def _subsection(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    annotation = section.model_fields[key].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _explain(section: type[BaseModel], details: ErrorDetails) -> str:
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        owner: type[BaseModel] | None = section
        for part in location[:-1]:
            owner = _subsection(owner, part) if owner else None
        return f"unknown key {key!r}{nearest(location[-1], owner.model_fields if owner else ())}"
    if details["type"] == "missing":
        return f"missing key {key!r}"
    found = "" if isinstance(details["input"], dict) else f" (found {details['input']!r})"
    if details["type"] == "model_type":
        return f"key {key!r}: expected an object{found}"
    return f"key {key!r}: {details['msg'].removeprefix('Value error, ')}{found}" if key else details["msg"]
