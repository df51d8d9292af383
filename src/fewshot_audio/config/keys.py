"""The keys of the two files, listed by walking their sections."""

import re
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from fewshot_audio.config.base import Role
from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.model import ModelConfig
from fewshot_audio.config.open_section import OpenSection


def split_key(path: str) -> list[str]:
    """The parts of a dotted key; a part from outside, such as the second of "loss.package.module:Class.use", is one."""
    first, _, rest = path.partition(".")
    return [first, *re.findall(r"[^:]+:[^.]+|[^.]+", rest)]


def has_key(section: type[BaseModel], key: str) -> bool:
    """Whether a section has a key, that of a part from outside included."""
    return key in _with_outside(section, key).model_fields


def _with_outside(section: type[BaseModel], key: str) -> type[BaseModel]:
    return section.including([key]) if issubclass(section, OpenSection) else section


def subsection(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that a key holds, if it holds one; a number is the place in a list of sections."""
    if key.isdigit():
        return section
    section = _with_outside(section, key)
    if key not in section.model_fields:
        return None
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
