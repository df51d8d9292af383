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


def keys_with(role: Role) -> set[str]:
    """The dotted keys of both config files that have a role."""
    return {key for file in (ExperimentConfig, ModelConfig) for key in section_keys(file, role)}


def section_keys(section: type[BaseModel], role: Role, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a section, and of the sections in it, that have a role."""
    for key, field in section.model_fields.items():
        if any(role in item for item in field.metadata if isinstance(item, Role)):
            yield prefix + key
        below = subsection(section, key)
        if below:
            yield from section_keys(below, role, f"{prefix}{key}.")
