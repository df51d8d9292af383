"""Several encoders as one: their embeddings side by side."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fewshot_audio.models.base import Encoder


class EncoderEnsemble(Encoder):
    """Encoders of one kind that share no weights; each embeds the segment, and the embeddings are concatenated.

    An ensemble for few-shot tasks (Dvornik et al. 2019) in the space of the prototypes. Embeddings are divided by the
    square root of the number of members, so that a squared distance is the mean of the members' and scores keep their
    scale.

    Shape: (n, mels, frames) -> (n, members * out_dim).
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        return torch.cat([member(x) for member in self.members], dim=-1) / math.sqrt(len(self.members))


def ensemble_members(encoder: nn.Module) -> list[nn.Module]:
    """The members of an ensemble, or the encoder itself."""
    return [*encoder.members] if isinstance(encoder, EncoderEnsemble) else [encoder]
