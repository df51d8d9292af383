"""Waveform transforms as a package from outside has them; importing this module registers them."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fewshot_audio.config.base import Section
from fewshot_audio.config.waveform_transforms import register_waveform_transform


class ClippingSection(Section):
    least: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Smallest share of the peak that is left."""


@register_waveform_transform(ClippingSection)
class Clipping:
    """Cuts each example off at a share of its peak."""

    def __init__(self, least: float) -> None:
        self.least = least

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"share": self.least + (1 - self.least) * torch.rand(n, generator=generator)}

    def apply(self, waveforms: Tensor, parameters: dict[str, Tensor], sample_rate: int) -> Tensor:
        assert sample_rate == 16_000
        limit = (waveforms.abs().amax(1) * parameters["share"]).unsqueeze(1)
        return waveforms.clamp(-limit, limit)


@register_waveform_transform()
class Tripling:
    """Has no options; draws a row of numbers for each example and does not use it."""

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"unused": torch.rand(n, 4, generator=generator)}

    def apply(self, waveforms: Tensor, parameters: dict[str, Tensor], sample_rate: int) -> Tensor:
        assert parameters["unused"].shape == (len(waveforms), 4)
        return 3 * waveforms


@register_waveform_transform()
class Shortening:
    """Makes what it may not: other rows, or another length."""

    rows = 0

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"numbers": torch.rand(n + self.rows, generator=generator)}

    def apply(self, waveforms: Tensor, parameters: dict[str, Tensor], sample_rate: int) -> Tensor:
        return waveforms[:, :-1]
