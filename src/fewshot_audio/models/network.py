"""The few-shot network: normalization, encoder, fusion of views, and heads."""

from typing import Literal

import torch
from torch import Tensor, nn

from fewshot_audio.config.experiment import Distance, EmbeddingTransform
from fewshot_audio.functional.prototypes import prototypical_scores, transform_embeddings
from fewshot_audio.models.adaptation import TaskAdaptation
from fewshot_audio.models.base import Encoder
from fewshot_audio.models.former_names import rename_former
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.heads import ProjectionHead, RelationHead


def _before_loading(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    rename_former(state, prefix)


class FewShotNetwork(nn.Module):
    """Everything that is trained, and the dataset's two normalization numbers as buffers.

    It is used in steps: ``normalize`` raw features, make views of them, ``encode`` each view, ``fuse`` the views of a
    segment into its rows, ``transform`` these (not in training), take prototypes of support rows, ``score`` query rows.
    Called on raw features, it does the first steps without views.

    Args:
        encoder: embeds one view.
        width: width of a segment's row: that of the encoder's output, with ``attention`` times the number of views;
            None without attention takes the encoder's ``out_dim``.
        attention: fuses the views of a segment into one row; without it every view is a row.
        projection: head of the contrastive branch, which only training uses.
        relation: scores queries in place of distances to prototypes.
        distance: how rows are compared with prototypes.
        score_scale: factor of distances or similarities in the scores.
        learn_scale: train that factor, from ``score_scale`` on.
        adaptation: of the encoder to each task; its outputs are then the scores of the task's classes.
        embedding_transform: what ``transform`` does; "center_l2" needs the buffer ``center``, "wccn" ``whitening`` too.

    Raises:
        ValueError: the width does not follow from the encoder.

    Example:
        One step of training on an episode of 5 classes with 2 support segments and 1 query each.

        >>> from fewshot_audio import CNN, PrototypicalLoss
        >>> network = FewShotNetwork(CNN(n_mels=128, n_frames=157, hidden_channels=8))
        >>> network.set_normalization(mean=-30.0, std=20.0)
        >>> optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
        >>> features, labels = 20 * torch.randn(15, 128, 157) - 30, torch.arange(5).repeat(3)
        >>> loss = PrototypicalLoss(n_shot=2)(network(features), labels)
        >>> loss.backward()
        >>> optimizer.step()
        >>> network(features).shape
        torch.Size([15, 64])
    """

    norm_mean: Tensor
    norm_std: Tensor
    center: Tensor | None
    whitening: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        width: int | None = None,
        *,
        attention: ViewAttention | None = None,
        projection: ProjectionHead | None = None,
        relation: RelationHead | None = None,
        distance: Distance = "euclidean",
        score_scale: float = 1.0,
        learn_scale: bool = False,
        adaptation: TaskAdaptation | None = None,
        embedding_transform: EmbeddingTransform = "none",
    ) -> None:
        super().__init__()
        if width is None:
            width = None if attention else getattr(encoder, "out_dim", None)
        if width is None:
            raise ValueError(
                "width is missing: with attention it is out_dim times the number of views"
                if attention
                else f"width is missing: the encoder {type(encoder).__name__} has no attribute out_dim"
            )
        self.width: int = width
        self.distance = distance
        self.register_buffer("norm_mean", torch.zeros(()))
        self.register_buffer("norm_std", torch.ones(()))
        self.embedding_transform = embedding_transform
        is_centered, is_whitened = embedding_transform in ("center_l2", "wccn"), embedding_transform == "wccn"
        self.register_buffer("center", torch.zeros(width) if is_centered else None)
        self.register_buffer("whitening", torch.eye(width) if is_whitened else None)
        self.encoder = encoder
        self.attention = attention
        self.projection = projection
        self.relation = relation
        self._score_scale = score_scale
        self.learned_scale = nn.Parameter(torch.tensor(score_scale)) if learn_scale else None
        self.adaptation = adaptation
        self.register_load_state_dict_pre_hook(_before_loading)  # type: ignore[no-untyped-call]

    @property
    def score_scale(self) -> float:
        """Factor of distances or similarities in the scores."""
        return self._score_scale if self.learned_scale is None else float(self.learned_scale)

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

    def forward(self, features: Tensor) -> Tensor:
        """Embed raw features as they are: normalize, encode, and outside of training transform.

        Shape: (n, mels, frames) -> (n, width).

        Raises:
            ValueError: ``width`` is another one, such as that of several views that ``attention`` fuses.
        """
        rows = self.fuse(self.encode(self.normalize(features)).unsqueeze(1)).squeeze(1)
        if rows.shape[-1] != self.width:
            raise ValueError(
                f"a spectrogram without views has an embedding of {rows.shape[-1]} numbers, but the network's width is "
                f"{self.width}: expected the encoder's out_dim, and views (see `embed`) if attention fuses them"
            )
        return rows if self.training else self.transform(rows)

    def encode(self, views: Tensor) -> Tensor:
        """Encode views. Shape: (n, mels, frames) -> (n, out_dim), float32."""
        embedding: Tensor = self.encoder(views)
        return embedding

    def fuse(self, views: Tensor) -> Tensor:
        """Turn the embeddings of a segment's views into its rows: with attention one fused row, else one row per view.

        Shape: (n, views, out_dim) -> (n, rows, width).
        """
        return self.attention(views).unsqueeze(1) if self.attention is not None else views

    def transform(self, rows: Tensor) -> Tensor:
        """Apply ``embedding_transform`` to fused rows, before prototypes. Shape: (..., width) -> (..., width)."""
        return transform_embeddings(rows, self.embedding_transform, self.center, self.whitening)

    def embed(self, views: Tensor) -> Tensor:
        """Encode, fuse and transform views: the rows that testing and recognition compare.

        Shape: (n, views, mels, frames) -> (n, rows, width).
        """
        # By shape: `len` would fix the batch size of an exported graph.
        encoded = self.encode(views.flatten(0, 1)).view(*views.shape[:2], -1)
        return self.transform(self.fuse(encoded))

    def score(self, prototypes: Tensor, queries: Tensor) -> Tensor:
        """Score query rows. Shape: prototypes (..., way, width), queries (..., rows, width) -> (..., rows, way)."""
        if self.relation is not None:
            scores: Tensor = self.relation(prototypes, queries)
            return scores
        scale = self._score_scale if self.learned_scale is None else self.learned_scale
        return scale * prototypical_scores(prototypes, queries, self.distance)
