"""Types of values that need more than a range check."""

import itertools
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from fewshot_audio.config.base import Count
from fewshot_audio.config.model import ENCODERS, PRETRAINED
from fewshot_audio.errors import ConfigError


def _encoder(value: str) -> str:
    if value.startswith(PRETRAINED):
        if value == PRETRAINED:
            raise ValueError(f"expected '{PRETRAINED}<folder or id of an audio encoder>'")
        return value
    try:
        ENCODERS.find(value)  # one from outside is imported here, if the user has named its package
    except ConfigError as error:
        raise ValueError(str(error)) from error
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


EncoderReference = Annotated[str, AfterValidator(_encoder)]
Milestones = Annotated[list[Count], AfterValidator(_increasing)]
RelativeFolder = Annotated[str, Field(min_length=1), AfterValidator(_relative_folder)]
