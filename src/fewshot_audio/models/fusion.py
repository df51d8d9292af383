"""Fusion of a segment's views into one embedding."""

from torch import Tensor, nn


class ViewAttention(nn.Module):
    """Self-attention over views (Sgouropoulos et al. 2025): one transformer encoder layer, outputs concatenated.

    There is no positional encoding: in eval mode, permuting the views permutes the blocks of the output.

    Args:
        embed_dim: width of a view's embedding.
        num_heads: attention heads; must divide ``embed_dim``.
        ffn_dim: width of the feed-forward layer.
        dropout: inside the layer.

    Shape: (n, views, embed_dim) -> (n, views * embed_dim).

    Example:
        >>> import torch
        >>> ViewAttention(64)(torch.randn(10, 4, 64)).shape
        torch.Size([10, 256])
    """

    def __init__(self, embed_dim: int, num_heads: int = 1, ffn_dim: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(embed_dim, num_heads, ffn_dim, dropout, batch_first=True)

    def forward(self, views: Tensor) -> Tensor:
        """Fuse the views."""
        fused: Tensor = self.layer(views)
        return fused.flatten(1)
