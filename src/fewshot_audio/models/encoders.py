"""Encoders: a segment in, an embedding out. A new encoder of spectrograms is one class and one line in ``ENCODERS``."""

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from fewshot_audio.config.model import CNNConfig, HybridConfig, PretrainedConfig

DROPOUT = 0.3
N_BLOCKS = 4


class Encoder(nn.Module):
    """What an encoder declares: its input, and the arithmetic of its heavy part."""

    precision: Literal["fp32", "bf16"] = "fp32"
    sample_rate: int | None = None
    """Rate of the waveforms that it reads, Hz; None: it reads normalised log-mel features."""


class ConvBlock(nn.Module):
    """Convolution 3x3, batch norm, ReLU, max pool.

    Shape: (n, in_channels, mels, frames) -> (n, channels, mels // pool, frames // pool).
    """

    def __init__(self, in_channels: int, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; max pooling comes before ReLU, which is the same function and cheaper."""
        return torch.relu(self.pool(self.norm(self.conv(x))))


class ConvEncoder(Encoder):
    """What both encoders share: four convolution blocks over one spectrogram, computed in ``precision``."""

    def __init__(self, config: CNNConfig, mels: int, frames: int) -> None:
        super().__init__()
        pool = (config.pool_dim[0], config.pool_dim[1])
        inputs = [config.in_channels] + [config.hidden_channels] * (N_BLOCKS - 1)
        self.blocks = nn.Sequential(*(ConvBlock(channels, config.hidden_channels, pool) for channels in inputs))
        # channels_last lets the CPU's and the GPU's fast convolution kernels work without reordering.
        for block in self.blocks:
            weight = cast(ConvBlock, block).conv.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.remaining = (mels, frames)
        for _ in range(N_BLOCKS):
            self.remaining = (self.remaining[0] // pool[0], self.remaining[1] // pool[1])

    def feature_map(self, x: Tensor) -> Tensor:
        """Shape: (n, mels, frames) -> (n, channels, remaining mel bins, remaining frames)."""
        # As (n, mels, frames, 1) with its last axis moved: the strides, ambiguous with one channel, say channels_last.
        x = x.contiguous().unsqueeze(-1).movedim(-1, 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features: Tensor = self.blocks(x)
        return features.to(x.dtype)


class CNN(ConvEncoder):
    """Four convolution blocks, flatten, dropout, batch norm, linear.

    Shape: (n, mels, frames) -> (n, out_dim).
    """

    def __init__(self, config: CNNConfig, mels: int, frames: int) -> None:
        super().__init__(config, mels, frames)
        width = config.hidden_channels * self.remaining[0] * self.remaining[1]
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, config.out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments."""
        embedding: Tensor = self.linear(self.norm(self.dropout(self.feature_map(x).flatten(1))))
        return embedding


class Hybrid(ConvEncoder):
    """Four convolution blocks, a recurrent layer over time with a skip connection, its last step, then as ``CNN``.

    A step's features are channels x remaining mel bins; bidirectional outputs are summed. With 3x3 pooling and up to
    242 frames the sequence has one or two steps.

    Shape: (n, mels, frames) -> (n, out_dim).
    """

    def __init__(self, config: HybridConfig, mels: int, frames: int) -> None:
        super().__init__(config, mels, frames)
        width = config.hidden_channels * self.remaining[0]
        recurrent: type[nn.RNN] | type[nn.GRU] | type[nn.LSTM] = getattr(nn, config.seq_type)
        self.rnn = recurrent(width, width, config.seq_layers, batch_first=True, bidirectional=config.bidirectional)
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
        last = output[:, -1] + sequence[:, -1]
        embedding: Tensor = self.linear(self.norm(self.dropout(last)))
        return embedding


ENCODERS: dict[str, Callable[..., ConvEncoder]] = {"CNN": CNN, "Hybrid": Hybrid}


def build_encoder(name: str, config: CNNConfig | PretrainedConfig, mels: int, frames: int) -> Encoder:
    """Build the encoder called ``name`` for segments of (mels, frames); a pretrained one without its weights."""
    if isinstance(config, PretrainedConfig):
        from fewshot_audio.models.pretrained import PretrainedEncoder

        return PretrainedEncoder(name, config)
    return ENCODERS[name](config, mels, frames)
