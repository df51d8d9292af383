"""Reading the two JSON files, and changing keys of either by their dotted names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fewshot_audio.config.base import Section
from fewshot_audio.config.checks import contradictions_of_the_rest
from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.frozen import located
from fewshot_audio.config.keys import has_key, split_key, subsection
from fewshot_audio.config.model import ModelConfig, load_encoder
from fewshot_audio.config.validation import collected, hint, validate, validate_or_collect
from fewshot_audio.errors import ConfigError

EXPERIMENT_FILE, MODEL_CONFIG_FILE = "experiment_config.json", "model_config.json"


def read_configs(experiment: Path, model: Path, overrides: Sequence[str] = ()) -> tuple[ExperimentConfig, ModelConfig]:
    """Read an experiment file and a model file and apply ``key.sub=value`` overrides.

    The first part of an override's key decides which file it changes. Values are JSON; what is not JSON is a string.

    Raises:
        ConfigError: one line for each problem of the files and of the overrides; beside these, as far as the other keys
            show them, what ``check_configs`` would refuse.
    """
    problems: list[str] = []
    files: dict[str, dict[str, Any]] = {}
    with collected(problems):
        files["experiment"] = _read_kind(experiment, ExperimentConfig, "an experiment", ModelConfig, "a model")
        if "encoder_name" in files["experiment"]:
            files["experiment"]["encoder_name"] = located(files["experiment"]["encoder_name"], experiment.parent)
    with collected(problems):
        files["model"] = _read_kind(model, ModelConfig, "a model", ExperimentConfig, "an experiment")
    for override in _encoder_first(overrides):
        with collected(problems):
            _assign(*parse_override(override), {"experiment": {}, "model": {}} | files, f"--set {override!r}")
    pair = (
        validate_or_collect(ExperimentConfig, files.get("experiment"), str(experiment), problems),
        validate_or_collect(ModelConfig, files.get("model"), str(model), problems),
    )
    if problems:
        raise ConfigError("\n".join([*problems, *contradictions_of_the_rest(*pair)]))
    return pair


def _read_kind(path: Path, expected: type[Section], kind: str, other: type[Section], other_kind: str) -> dict[str, Any]:
    """Read a file; refuse one with no key of its own kind, but some of the other kind: the two files were swapped."""
    values = read_json(path)
    if not values.keys() & expected.model_fields.keys() and values.keys() & other.model_fields.keys():
        raise ConfigError(
            f"{path}: this is {other_kind} file, expected {kind} file (-e names the experiment file, -m the model file)"
        )
    return values


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


def change_configs(
    experiment: ExperimentConfig, model: ModelConfig, changes: Mapping[str, Any], where: str
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair with other values of dotted keys; a key's first part decides which file it changes.

    Raises:
        ConfigError: one line for each problem, each beginning with ``where``.
    """
    problems: list[str] = []
    values = {"experiment": experiment.model_dump(), "model": model.model_dump()}
    for path in _encoder_first(changes):
        with collected(problems):
            _assign(path, changes[path], values, where)
    pair = (
        validate_or_collect(ExperimentConfig, values["experiment"], where, problems),
        validate_or_collect(ModelConfig, values["model"], where, problems),
    )
    if problems:
        raise ConfigError("\n".join(problems))
    return pair


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
    keys = split_key(path)
    files: dict[str, type[Section]] = {"experiment": ExperimentConfig, "model": ModelConfig}
    if not any(keys[0] in section.model_fields for section in files.values()):
        load_encoder(values["experiment"].get("encoder_name"))  # it may be the section of this one
    name = next((name for name, section in files.items() if _may_stand(section, keys[0])), None)
    if name is None:
        known_keys = [key for section in files.values() for key in section.model_fields]
        raise ConfigError(f"{where}: unknown key {keys[0]!r}{hint(keys[0], known_keys)}")
    section: type[BaseModel] | None = files[name]
    for depth, key in enumerate(keys):
        if section is None:
            raise ConfigError(f"{where}: {'.'.join(keys[:depth])!r} has no keys below it")
        if not _may_stand(section, key):
            raise ConfigError(f"{where}: unknown key {key!r}{hint(key, section.model_fields)}")
        section = subsection(section, key)
        if section is None and ":" in key:  # a part from outside that cannot be loaded: reading the file says why
            break
    target = values[name]
    for depth, key in enumerate(keys[:-1]):
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{where}: {'.'.join(keys[: depth + 1])!r} is not an object in the file")
    target[keys[-1]] = located(value, Path()) if path == "encoder_name" else value


def _encoder_first(paths: Iterable[str]) -> list[str]:
    """Dotted keys, or overrides that begin with them, in their order, but the encoder's name before its options."""
    return sorted(paths, key=lambda path: path.partition("=")[0].strip() != "encoder_name")


def _may_stand(section: type[BaseModel], key: str) -> bool:
    return has_key(section, key) or (issubclass(section, Section) and key in section.retired)
