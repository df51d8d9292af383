"""Fusion of a segment's views into one embedding."""

from torch import Tensor, nn


class ViewAttention(nn.Module):
    """Self-attention over views (Sgouropoulos et al. 2025): one transformer encoder layer, outputs concatenated.

    There is no positional encoding: in eval mode, permuting the views permutes the blocks of the output.

    Shape: (n, views, embed_dim) -> (n, views * embed_dim).
    """

    def __init__(self, embed_dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(embed_dim, num_heads, ffn_dim, dropout, batch_first=True)

    def forward(self, views: Tensor) -> Tensor:
        """Fuse the views."""
        fused: Tensor = self.layer(views)
        return fused.flatten(1)
