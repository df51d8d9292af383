"""The strict base class of every config section, the roles of keys, and number types that sections share."""

import logging
from collections.abc import Mapping
from enum import Flag, auto
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

log = logging.getLogger(__name__)


class Section(BaseModel):
    """A JSON object with known keys only: unknown keys, wrong types, NaN and infinities are errors.

    The docstring below a key is its description, in the documentation and in the JSON schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    retired: ClassVar[Mapping[str, Any]] = {}
    """Keys that version 0.1 was the last to have, and the values at which they changed nothing: there they are dropped.
    At other values they are unknown keys, of which ``config.validation.retirement`` says since when."""
    retired_values: ClassVar[Mapping[str, Any]] = {}
    """Keys, and the value of each that version 0.1 was the last to know."""

    @model_validator(mode="before")
    @classmethod
    def _drop_retired(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        idle = {key for key, value in cls.retired.items() if key in values and values[key] == value}
        for key in idle:
            log.info("%s: the key %r is ignored: it was removed after version 0.1", cls.__name__, key)
        return {key: value for key, value in values.items() if key not in idle}


class Role(Flag):
    """How work over several trainings treats a key; stands in the ``Annotated`` of the key."""

    RESUMABLE = auto()
    """A resumed experiment may have another value: it changes where and how long it runs, not a run's numbers."""
    PLACE = auto()
    """Says where and under which name a training runs, not what it computes."""
    FIXED_IN_SEARCH = auto()
    """Cannot be searched: it decides which data and validation tasks there are, how long or where training runs, or
    it acts in testing only."""
    FIXED_IN_CROSSVAL = auto()
    """The same for every candidate: it decides which tasks are solved, how long training lasts, or where it runs."""


def _pair(value: Any) -> Any:
    """Read 3 as [3, 3]."""
    return [value, value] if type(value) is int else value


Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
PoolDim = Annotated[list[Count], Field(min_length=2, max_length=2), BeforeValidator(_pair)]
