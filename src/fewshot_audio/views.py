"""From raw features to normalised views, the same in training, validation and testing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_audio.augment.spectrogram import SpecAugmentDraw, draw_specaugment, specaugment_views
from fewshot_audio.config import SpecAugParams
from fewshot_audio.models.network import FewShotNetwork


@dataclass(frozen=True)
class SpecViews:
    """Views of spectrogram segments: made after normalisation, so that mask value 0 is the dataset's mean."""

    params: SpecAugParams

    def draw(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> SpecAugmentDraw:
        """Draw the parameters of ``n`` segments of ``shape`` (mels, frames)."""
        return draw_specaugment(n, shape[0], shape[1], self.params, generator)

    def plain(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """The original alone. Shape: raw (n, mels, frames) -> (n, 1, mels, frames)."""
        return network.normalize(raw).unsqueeze(1)

    def views(self, network: FewShotNetwork, raw: Tensor, draw: SpecAugmentDraw) -> Tensor:
        """The original and its augmented views. Shape: raw (n, mels, frames) -> (n, views, mels, frames)."""
        return specaugment_views(network.normalize(raw), draw, self.params.mask_value)
