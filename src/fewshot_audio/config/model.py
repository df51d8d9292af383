"""The model file: sizes and options of each part of the network."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from fewshot_audio.config.base import Count, Section

EncoderName = Literal["CNN", "Hybrid", "ResNet12"]
PRETRAINED = "hf:"  # prefix of the folder or id of a Hugging Face audio encoder

PoolDim = Annotated[list[Count], Field(min_length=2, max_length=2)]


class CNNConfig(Section):
    """Four convolution blocks and a linear layer."""

    in_channels: Literal[1]
    """Channels of the input; a spectrogram has 1."""
    hidden_channels: Count
    """Channels of every convolution."""
    pool_dim: PoolDim
    """Pooling of each block: [mel, time]."""
    out_dim: Count
    """Width of the encoder's output."""
    pooling: Literal["last", "mean", "mean_max", "attention"] = "last"
    """Input of the last layer: "last", the whole map (Hybrid: the last step); else the map pooled over positions."""
    pool_last: bool = True
    """The last block pools too; if not, the last map of a 128 x 157 segment is 4 x 5, not 1 x 1."""

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class HybridConfig(CNNConfig):
    """Four convolution blocks and a recurrent layer over time (CRNN)."""

    seq_layers: Count
    """Stacked recurrent layers."""
    seq_type: Literal["RNN", "GRU", "LSTM"]
    """Kind of recurrent layer."""
    bidirectional: bool
    """Run over time in both directions and add the two outputs."""


class ResNet12Config(Section):
    """A strided stem, four residual blocks of three convolutions, pooling and a linear layer."""

    in_channels: Literal[1] = 1
    """Channels of the input; a spectrogram has 1."""
    widths: Annotated[list[Count], Field(min_length=4, max_length=4)] = Field(default_factory=lambda: [24, 48, 96, 160])
    """Channels of the four blocks; published: 64 to 640."""
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 2
    """Stride of a first convolution, which makes the blocks cheaper. 1: none."""
    pooling: Literal["mean", "mean_max", "attention"] = "mean"
    """Pooling over the positions of the last map."""
    pool_last: bool = True
    """The last block pools (2 x 2) too."""
    drop_block: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the last two blocks' maps that is set to 0, in squares. 0: off."""
    drop_block_size: Count = 3
    """Side of these squares, at most that of the map."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the linear layer."""
    out_dim: Count = 64
    """Width of the encoder's output."""

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class PretrainedConfig(Section):
    """A pretrained Hugging Face audio encoder and a linear layer, for ``encoder_name: "hf:..."``."""

    freeze: bool = True
    """Do not train the pretrained weights."""
    out_dim: Count = 64
    """Width of the linear layer's output."""
    definition: dict[str, Any] | None = None
    """Contents of the encoder's own config files. A run fills this in when it starts; afterwards it does not need the
    encoder's folder for them."""

    @field_validator("definition")
    @classmethod
    def _both_files(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and not (
            set(value) == {"config", "preprocessor"} and all(isinstance(file, dict) for file in value.values())
        ):
            raise ValueError("expected the objects 'config' and 'preprocessor'")
        return value


EncoderConfig: TypeAlias = CNNConfig | ResNet12Config | PretrainedConfig


class AttentionConfig(Section):
    """One transformer encoder layer over the views of a segment."""

    embed_dim: Count
    """Width of a view's embedding: the encoder's out_dim."""
    num_heads: Count
    """Attention heads; must divide embed_dim."""
    ffn_dim: Count
    """Width of the feed-forward layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Dropout inside the layer."""


class ProjectionConfig(Section):
    """Projection head of the contrastive branch: linear, ReLU, linear, L2 normalization."""

    input_dim: Count
    """Width of an embedding: out_dim, with attention out_dim x views."""
    hidden_dim: Count
    """Width of the hidden layer."""
    output_dim: Count
    """Width of the projected embedding."""


class RelationConfig(Section):
    """Relation head (Sung et al. 2018): scores a query and a prototype, concatenated."""

    input_dim: Count
    """Twice the width of an embedding."""
    hidden_dim1: Count
    """Width of the first hidden layer."""
    hidden_dim2: Count
    """Width of the second hidden layer."""
    hidden_dim3: Count
    """Width of the third hidden layer."""
    out_dim: Literal[1]
    """One relation score."""


class ModelConfig(Section):
    """The model file."""

    CNN: CNNConfig
    Hybrid: HybridConfig
    Attention: AttentionConfig
    Projection: ProjectionConfig
    Relation: RelationConfig
    ResNet12: ResNet12Config = ResNet12Config()
    Pretrained: PretrainedConfig = PretrainedConfig()
    members: Count = 1
    """Encoders whose outputs are concatenated; `fewshot-audio join` joins those of runs."""

    def encoder(self, name: str) -> EncoderConfig:
        """Return the section of an encoder: the one with its name, or ``Pretrained`` if the name begins with "hf:"."""
        section: EncoderConfig = self.Pretrained if name.startswith(PRETRAINED) else getattr(self, name)
        return section

    def out_dim(self, name: str) -> int:
        """Width of a view's embedding by an encoder, with all members."""
        return self.encoder(name).out_dim * self.members
