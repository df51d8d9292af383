"""The strict base class of every config section, the roles of keys, and number types that sections share."""

from enum import Flag, auto
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


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


Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
