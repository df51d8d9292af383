"""The few-shot network: normalization, encoder, fusion of views, and heads, as an experiment asks for them."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.functional.prototypes import prototypical_scores, transform_embeddings
from fewshot_audio.models.base import Encoder
from fewshot_audio.models.encoders import build_encoder
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.heads import ProjectionHead, RelationHead

FORMER_NAMES = {"centre": "center"}  # of state-dict entries, as version 0.1 wrote them


def current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's state dict under the names of this version, whichever version wrote it."""
    return {FORMER_NAMES.get(name, name): value for name, value in state.items()}


class FewShotNetwork(nn.Module):
    """Everything that is trained, and the dataset's two normalization numbers as buffers.

    Used in steps: ``normalize`` raw features, make views of them, ``encode`` each view, ``fuse`` the views of a
    segment into its rows, ``transform`` these (not in training), take prototypes of support rows, ``score`` query rows.
    """

    norm_mean: Tensor
    norm_std: Tensor
    center: Tensor | None

    def __init__(self, experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int) -> None:
        super().__init__()
        self.distance = experiment.distance
        self.width = experiment.embedding_width(model.out_dim(experiment.encoder_name))
        self.register_buffer("norm_mean", torch.zeros(()))
        self.register_buffer("norm_std", torch.ones(()))
        self.transformation = experiment.embedding_transform
        self.register_buffer("center", torch.zeros(self.width) if self.transformation == "center_l2" else None)
        self.encoder = build_encoder(
            experiment.encoder_name, model.encoder(experiment.encoder_name), mels, frames, model.members
        )
        self.attention = ViewAttention(**model.Attention.model_dump()) if experiment.use_attention else None
        self.projection = ProjectionHead(**model.Projection.model_dump()) if experiment.contrastive else None
        self.relation = RelationHead(**model.Relation.model_dump()) if experiment.relation_head else None
        self.score_scale = experiment.score_scale
        # Trained as a logarithm, which keeps it positive.
        start = torch.tensor(math.log(experiment.score_scale))
        self.log_scale = nn.Parameter(start) if experiment.learn_score_scale else None

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights that this or an earlier version wrote."""
        return super().load_state_dict(current_names(state_dict), strict, assign)

    @property
    def scale(self) -> float | Tensor:
        """What distances are multiplied by to give scores."""
        return self.score_scale if self.log_scale is None else self.log_scale.exp()

    def set_precision(self, precision: Literal["fp32", "bf16"]) -> None:
        """Choose the arithmetic of the convolutions; everything else is float32."""
        for part in self.encoder.modules():
            if isinstance(part, Encoder):
                part.precision = precision

    def set_normalization(self, mean: float, std: float) -> None:
        """Set the dataset's normalization numbers."""
        self.norm_mean.fill_(mean)
        self.norm_std.fill_(std)

    def normalize(self, features: Tensor) -> Tensor:
        """Raw log-mel features, dB, any shape, to the network's scale."""
        return (features - self.norm_mean) / self.norm_std

    def encode(self, views: Tensor) -> Tensor:
        """Encode views. Shape: (n, mels, frames) -> (n, out_dim), float32."""
        embedding: Tensor = self.encoder(views)
        return embedding

    def fuse(self, views: Tensor) -> Tensor:
        """Turn the embeddings of a segment's views into its rows: one fused row with attention, else all as they are.

        Shape: (n, views, out_dim) -> (n, rows, width).
        """
        return self.attention(views).unsqueeze(1) if self.attention is not None else views

    def transform(self, rows: Tensor) -> Tensor:
        """Transform fused rows as testing asks for, before prototypes. Shape: (..., width) -> (..., width)."""
        return transform_embeddings(rows, self.transformation, self.center)

    def score(self, prototypes: Tensor, queries: Tensor) -> Tensor:
        """Score query rows. Shape: prototypes (..., way, width), queries (..., rows, width) -> (..., rows, way)."""
        if self.relation is not None:
            scores: Tensor = self.relation(prototypes, queries)
            return scores
        return self.scale * prototypical_scores(prototypes, queries, self.distance)
