"""The keys of the two files, listed by walking their sections."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from fewshot_audio.config.base import Role
from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.model import ModelConfig


def subsection(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that a key holds, if it holds one."""
    annotation = section.model_fields[key].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def keys_with(role: Role, *files: type[BaseModel]) -> set[str]:
    """The dotted keys that have a role, in ``files``; by default in both config files."""
    return {key for file in files or (ExperimentConfig, ModelConfig) for key in _keys_with(role, file, "")}


def _keys_with(role: Role, section: type[BaseModel], prefix: str) -> Iterator[str]:
    for key, field in section.model_fields.items():
        if any(role in item for item in field.metadata if isinstance(item, Role)):
            yield prefix + key
        below = subsection(section, key)
        if below:
            yield from _keys_with(role, below, f"{prefix}{key}.")
