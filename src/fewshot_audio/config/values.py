"""Types of values that need more than a range check."""

import itertools
from pathlib import PurePosixPath
from typing import Annotated, get_args

from pydantic import AfterValidator, Field

from fewshot_audio.config.base import Count
from fewshot_audio.config.model import PRETRAINED, EncoderName


def _encoder(value: str) -> str:
    names = get_args(EncoderName)
    if value in names or value.removeprefix(PRETRAINED) not in ("", value):
        return value
    raise ValueError(f"expected {', '.join(map(repr, names))} or '{PRETRAINED}<folder or id of an audio encoder>'")


def _increasing(value: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise ValueError("milestones must increase")
    return value


def _way_schedule(value: list[list[int]]) -> list[list[int]]:
    epochs, ways = [epoch for epoch, _ in value], [way for _, way in value]
    if any(epoch < 0 for epoch in epochs) or epochs != sorted(set(epochs)):
        raise ValueError("epochs must be 0 or more and increase")
    if any(way < 2 for way in ways):
        raise ValueError("an episode has at least 2 classes")
    return value


def _relative_folder(value: str) -> str:
    path = PurePosixPath(value.replace("\\", "/"))
    inside = not (path.is_absolute() or ".." in path.parts or path == PurePosixPath())
    if not inside or ":" in value or not value.isprintable():
        raise ValueError("must be a relative folder name without '..' and control characters")
    return value


EncoderReference = Annotated[str, AfterValidator(_encoder)]
Milestones = Annotated[list[Count], AfterValidator(_increasing)]
WaySchedule = Annotated[list[Annotated[list[int], Field(min_length=2, max_length=2)]], AfterValidator(_way_schedule)]
RelativeFolder = Annotated[str, Field(min_length=1), AfterValidator(_relative_folder)]
