"""Types of values that need more than a range check."""

import difflib
import itertools
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from fewshot_audio.config.base import Count
from fewshot_audio.config.frozen import PACKAGED_NAMES, frozen_references, name_problem
from fewshot_audio.config.model import ENCODERS, PRETRAINED
from fewshot_audio.errors import ConfigError


def _names(value: Any) -> Any:
    if not all(isinstance(name, str) for name in (value if isinstance(value, list) else [value])):
        raise ValueError("expected the name of an encoder, or a list of names")
    return value


def _encoder(value: str | list[str]) -> str | list[str]:
    if isinstance(value, list) or frozen_references(value):
        problem = name_problem(value if isinstance(value, list) else [value])
        if problem:
            raise ValueError(problem)
        return value
    if value.startswith(PRETRAINED):
        if value == PRETRAINED:
            raise ValueError(f"expected '{PRETRAINED}<folder or id of an audio encoder>'")
        return value
    try:
        ENCODERS.find(value)  # one from outside is imported here, if the user has named its package
    except ConfigError as error:
        near = difflib.get_close_matches(value.lower(), PACKAGED_NAMES, n=1)
        raise ValueError(f"there is no encoder {value!r}, did you mean {near[0]!r}?" if near else str(error)) from error
    return value


def _increasing(value: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise ValueError("milestones must increase")
    return value


def _relative_folder(value: str) -> str:
    path = PurePosixPath(value.replace("\\", "/"))
    inside = not (path.is_absolute() or ".." in path.parts or path == PurePosixPath())
    if not inside or ":" in value or not value.isprintable():
        raise ValueError("must be a relative folder name without '..' and control characters")
    return value


EncoderReference = Annotated[str | list[str], BeforeValidator(_names), AfterValidator(_encoder)]
Milestones = Annotated[list[Count], AfterValidator(_increasing)]
RelativeFolder = Annotated[str, Field(min_length=1), AfterValidator(_relative_folder)]
