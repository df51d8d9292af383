"""The sections of ``recognizer.json`` that a decision and its features have."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fewshot_audio.recognition.decision.choose import HEADS, FittedHead, Head

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


def _of_all_heads(accuracies: dict[Head, float]) -> dict[Head, float]:
    if missing := [head for head in HEADS if head not in accuracies]:
        raise ValueError(f"has none of {', '.join(missing)}")
    return accuracies


class BundleSection(BaseModel):
    """A strict part of ``recognizer.json``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FeaturesSection(BundleSection):
    """Features that clips have beside embeddings; the number is that of their definition."""

    timbre: Literal[1] = 1


class ChoiceSection(BundleSection):
    """See ``HeadChoice``."""

    head: Head
    accuracies: Annotated[dict[Head, Share], AfterValidator(_of_all_heads)]
    plain: Share
    clips: Annotated[int, Field(ge=1)]


class CalibrationSection(BundleSection):
    """See ``DecisionCalibration``."""

    temperature: Annotated[float, Field(ge=0.01, le=100)]
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
