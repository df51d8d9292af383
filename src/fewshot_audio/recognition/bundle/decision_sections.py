"""The sections of ``recognizer.json`` that a decision and its features have."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fewshot_audio.recognition.decision.choose import FittedHead, Head

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class BundleSection(BaseModel):
    """A strict part of ``recognizer.json``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FeaturesSection(BundleSection):
    """Features that clips have beside embeddings; the number is that of their definition."""

    timbre: Literal[1] = 1


class ChoiceSection(BundleSection):
    """See ``HeadChoice``."""

    head: Head
    accuracies: dict[Head, Share]
    plain: Share
    clips: Annotated[int, Field(ge=1)]


class CalibrationSection(BundleSection):
    """See ``DecisionCalibration``."""

    temperature: Positive
    embedding_share: Share
    threshold: Positive
    false_alarm: Annotated[float, Field(gt=0, lt=1)]
    clips: Annotated[int, Field(ge=1)]


class FittedSection(BundleSection):
    """A fitted decision, whose numbers are tensors."""

    head: FittedHead
    calibration: CalibrationSection


class DecisionSection(BundleSection):
    """See ``DecisionState``."""

    fixed: Head | None
    choice: ChoiceSection | None
    fitted: FittedSection | None
