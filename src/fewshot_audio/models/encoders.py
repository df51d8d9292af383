"""Encoders of spectrograms: a segment in, an embedding out."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from fewshot_audio.config.model import CNNConfig, HybridConfig
from fewshot_audio.models.base import Encoder, check_input, check_map, read_options
from fewshot_audio.models.blocks import ConvBlock
from fewshot_audio.models.pooling import Pooling

DROPOUT = 0.3
N_BLOCKS = 4


class ConvEncoder(Encoder):
    """Base of ``CNN`` and ``Hybrid``: four convolution blocks over one spectrogram, computed in ``precision``."""

    def __init__(self, config: CNNConfig, n_mels: int, n_frames: int) -> None:
        super().__init__()
        self.out_dim = config.out_dim
        pool = (config.pool_dim[0], config.pool_dim[1])
        inputs = [1] + [config.hidden_channels] * (N_BLOCKS - 1)
        pools = [pool if block < config.poolings else (1, 1) for block in range(N_BLOCKS)]
        sizes = zip(inputs, pools, strict=True)
        self.blocks = nn.Sequential(*(ConvBlock(channels, config.hidden_channels, pool) for channels, pool in sizes))
        # channels_last lets the CPU's and the GPU's fast convolution kernels work without reordering.
        for block in self.blocks:
            weight = cast(ConvBlock, block).conv.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.input_size = self.map_size = (n_mels, n_frames)
        for pool in pools:
            self.map_size = (self.map_size[0] // pool[0], self.map_size[1] // pool[1])
        check_map(type(self).__name__, self.map_size, n_mels, n_frames)

    def feature_map(self, x: Tensor) -> Tensor:
        """Shape: (n, mels, frames) -> (n, channels, *map_size)."""
        check_input(type(self).__name__, x, *self.input_size)
        # As (n, mels, frames, 1) with its last axis moved: the strides, ambiguous with one channel, say channels_last.
        x = x.contiguous().unsqueeze(-1).movedim(-1, 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features: Tensor = self.blocks(x)
        return features.to(x.dtype)


class CNN(ConvEncoder):
    """Four convolution blocks, flatten or pool the map, dropout, batch norm, linear.

    Args:
        n_mels: mel bins of a segment.
        n_frames: frames of a segment.
        options: keys of the model file's section ``CNN``, such as ``hidden_channels`` and ``out_dim``.

    Shape: (n, n_mels, n_frames) -> (n, out_dim).

    Raises:
        ConfigError: an option is unknown or wrong, or segments are too small for the poolings.

    Example:
        >>> encoder = CNN(n_mels=128, n_frames=157, out_dim=32)
        >>> encoder(torch.zeros(4, 128, 157)).shape
        torch.Size([4, 32])
    """

    def __init__(self, n_mels: int, n_frames: int, **options: Any) -> None:
        config = read_options(CNNConfig, options, "CNN")
        super().__init__(config, n_mels, n_frames)
        self.pooling = None if config.pooling == "last" else Pooling(config.pooling, config.hidden_channels)
        flat = config.hidden_channels * self.map_size[0] * self.map_size[1]
        width = self.pooling.width if self.pooling else flat
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, config.out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        features = self.feature_map(x)
        vector = self.pooling(features.flatten(2).transpose(1, 2)) if self.pooling else features.flatten(1)
        embedding: Tensor = self.linear(self.norm(self.dropout(vector)))
        return embedding


class Hybrid(ConvEncoder):
    """Four convolution blocks, a recurrent layer over time with a skip connection, last or pooled step, as ``CNN``.

    A step's features are channels x mel bins of the map; bidirectional outputs are summed. With 3x3 pooling and up to
    242 frames the sequence has one or two steps.

    Args:
        n_mels: mel bins of a segment.
        n_frames: frames of a segment.
        options: keys of the model file's section ``Hybrid``, such as ``seq_type`` and ``out_dim``.

    Shape: (n, n_mels, n_frames) -> (n, out_dim).

    Raises:
        ConfigError: an option is unknown or wrong, or segments are too small for the poolings.

    Example:
        >>> encoder = Hybrid(n_mels=128, n_frames=157)
        >>> sum(parameter.numel() for parameter in encoder.parameters())
        124544
    """

    def __init__(self, n_mels: int, n_frames: int, **options: Any) -> None:
        config = read_options(HybridConfig, options, "Hybrid")
        super().__init__(config, n_mels, n_frames)
        width = config.hidden_channels * self.map_size[0]
        recurrent: type[nn.RNN] | type[nn.GRU] | type[nn.LSTM] = getattr(nn, config.seq_type)
        self.rnn = recurrent(width, width, config.seq_layers, batch_first=True, bidirectional=config.bidirectional)
        self.pooling = None if config.pooling == "last" else Pooling(config.pooling, width)
        width = self.pooling.width if self.pooling else width
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, config.out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        sequence = self.feature_map(x).flatten(1, 2).transpose(1, 2)  # (n, steps, channels * mel bins)
        output: Tensor = self.rnn(sequence)[0]
        if self.rnn.bidirectional:
            forward, backward = output.chunk(2, dim=-1)
            output = forward + backward
        vector = self.pooling(output + sequence) if self.pooling else output[:, -1] + sequence[:, -1]
        embedding: Tensor = self.linear(self.norm(self.dropout(vector)))
        return embedding
