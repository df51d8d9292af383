"""Waveform transforms from outside: by name and options, with a probability of their own."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from fewshot_audio.config.base import Probability, Section
from fewshot_audio.config.registry import Registry
from fewshot_audio.errors import ConfigError

WAVEFORM_TRANSFORMS = Registry("waveform transform", members=("draw", "apply"))
"""The eleven built-in ones have keys of their own in ``waveaug_params``."""
register_waveform_transform = WAVEFORM_TRANSFORMS.register


class ExtraTransform(Section):
    """An entry of the list ``extra``: a waveform transform from outside, applied after the eleven built-in ones."""

    name: str
    """"package.module:Class", or the name by which it is registered."""
    p: Probability = 1.0
    """Probability per example."""
    params: Annotated[dict[str, JsonValue], Field(validate_default=True)] = Field(default_factory=dict)
    """Its options."""

    @field_validator("name")
    @classmethod
    def _is_a_transform(cls, name: str) -> str:
        try:
            WAVEFORM_TRANSFORMS.find(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return name

    @field_validator("params")
    @classmethod
    def _are_its_options(cls, params: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "name" not in info.data:
            return params
        section = WAVEFORM_TRANSFORMS.find(info.data["name"]).section
        if section is None:
            if params:
                raise ValueError("it has no options")
            return params
        try:
            return section.model_validate(params).model_dump()
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, details['loc']))}: {details['msg']}" for details in error.errors())
            raise ValueError("; ".join(problems)) from error


def _different(transforms: list[ExtraTransform]) -> list[ExtraTransform]:
    names = [WAVEFORM_TRANSFORMS.find(transform.name).name for transform in transforms]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is listed twice: its random numbers depend on its name, and would be the same")
    return transforms


ExtraTransforms = Annotated[list[ExtraTransform], AfterValidator(_different)]
