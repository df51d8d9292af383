"""What validation classes teach a recogniser: a temperature, a scatter, and a threshold for unknown sounds."""

from pydantic import BaseModel, ConfigDict, Field


class Calibration(BaseModel):
    """Numbers fitted on validation classes, none of which is enrolled.

    ``temperature`` divides scores before the softmax; ``scatter`` is the mean squared distance of a clip to its class;
    a clip whose unknown score passes ``threshold`` is answered "unknown": so are ``false_alarm`` of the known clips.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    temperature: float = Field(gt=0)
    scatter: float = Field(gt=0)
    threshold: float = Field(gt=0)
    false_alarm: float = Field(gt=0, lt=1)
