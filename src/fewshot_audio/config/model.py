"""The model file: sizes and options of each part of the network."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from fewshot_audio.config.base import Count, Section

EncoderName = Literal["CNN", "Hybrid", "ResNet12"]
PRETRAINED = "hf:"  # prefix of the folder or id of a Hugging Face audio encoder

PoolDim = Annotated[list[Count], Field(min_length=2, max_length=2, description="Pooling of each block: [mel, time].")]


class CNNConfig(Section):
    """Four convolution blocks and a linear layer."""

    in_channels: Annotated[Literal[1], Field(description="Channels of the input; a spectrogram has 1.")]
    hidden_channels: Annotated[Count, Field(description="Channels of every convolution.")]
    pool_dim: PoolDim
    out_dim: Annotated[Count, Field(description="Width of the encoder's output.")]
    pooling: Annotated[
        Literal["last", "mean", "mean_max", "attention"],
        Field(
            description='What the last layer reads: the whole map (Hybrid: the last step) if "last", else it pooled.'
        ),
    ] = "last"
    pool_last: Annotated[
        bool, Field(description="The last block pools too; if not, the last map of 128 x 157 is 4 x 5, not 1 x 1.")
    ] = True

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class HybridConfig(CNNConfig):
    """Four convolution blocks and a recurrent layer over time (CRNN)."""

    seq_layers: Annotated[Count, Field(description="Stacked recurrent layers.")]
    seq_type: Annotated[Literal["RNN", "GRU", "LSTM"], Field(description="Kind of recurrent layer.")]
    bidirectional: Annotated[bool, Field(description="Run over time in both directions and add the two outputs.")]


class ResNet12Config(Section):
    """A strided stem, four residual blocks of three convolutions, pooling and a linear layer."""

    in_channels: Annotated[Literal[1], Field(description="Channels of the input; a spectrogram has 1.")] = 1
    widths: Annotated[
        list[Count], Field(min_length=4, max_length=4, description="Channels of the four blocks; published: 64 to 640.")
    ] = Field(default_factory=lambda: [24, 48, 96, 160])
    stem_stride: Annotated[
        int, Field(ge=1, le=4, description="Stride of a first convolution, which makes the blocks cheaper. 1: none.")
    ] = 2
    pooling: Annotated[
        Literal["mean", "mean_max", "attention"], Field(description="Pooling over the positions of the last map.")
    ] = "mean"
    pool_last: Annotated[bool, Field(description="The last block pools (2 x 2) too.")] = True
    drop_block: Annotated[
        float, Field(ge=0, lt=1, description="Share of the last two blocks' maps that is set to 0, in squares. 0: off.")
    ] = 0.0
    drop_block_size: Annotated[Count, Field(description="Side of these squares, at most that of the map.")] = 3
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout before the linear layer.")] = 0.0
    out_dim: Annotated[Count, Field(description="Width of the encoder's output.")] = 64

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class PretrainedConfig(Section):
    """A pretrained Hugging Face audio encoder and a linear layer, for ``encoder_name: "hf:..."``."""

    freeze: Annotated[bool, Field(description="Do not train the pretrained weights.")] = True
    out_dim: Annotated[Count, Field(description="Width of the linear layer's output.")] = 64
    definition: Annotated[
        dict[str, Any] | None,
        Field(description="Contents of the encoder's own config files. A run fills this in when it starts."),
    ] = None

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

    embed_dim: Annotated[Count, Field(description="Width of a view's embedding: the encoder's out_dim.")]
    num_heads: Annotated[Count, Field(description="Attention heads; must divide embed_dim.")]
    ffn_dim: Annotated[Count, Field(description="Width of the feed-forward layer.")]
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout inside the layer.")]


class ProjectionConfig(Section):
    """Projection head of the contrastive branch: linear, ReLU, linear, L2 normalization."""

    input_dim: Annotated[Count, Field(description="Width of an embedding: out_dim, with attention out_dim x views.")]
    hidden_dim: Annotated[Count, Field(description="Width of the hidden layer.")]
    output_dim: Annotated[Count, Field(description="Width of the projected embedding.")]


class RelationConfig(Section):
    """Relation head (Sung et al. 2018): scores a query and a prototype, concatenated."""

    input_dim: Annotated[Count, Field(description="Twice the width of an embedding.")]
    hidden_dim1: Annotated[Count, Field(description="Width of the first hidden layer.")]
    hidden_dim2: Annotated[Count, Field(description="Width of the second hidden layer.")]
    hidden_dim3: Annotated[Count, Field(description="Width of the third hidden layer.")]
    out_dim: Annotated[Literal[1], Field(description="One relation score.")]


class ModelConfig(Section):
    """The model file."""

    CNN: CNNConfig
    Hybrid: HybridConfig
    Attention: AttentionConfig
    Projection: ProjectionConfig
    Relation: RelationConfig
    ResNet12: ResNet12Config = ResNet12Config()
    Pretrained: PretrainedConfig = PretrainedConfig()
    members: Annotated[
        Count, Field(description="Encoders whose outputs are concatenated; `fewshot-audio join` joins those of runs.")
    ] = 1

    def encoder(self, name: str) -> EncoderConfig:
        """Return the section of an encoder: the one with its name, or ``Pretrained`` if the name begins with "hf:"."""
        section: EncoderConfig = self.Pretrained if name.startswith(PRETRAINED) else getattr(self, name)
        return section

    def out_dim(self, name: str) -> int:
        """Width of a view's embedding by an encoder, with all members."""
        return self.encoder(name).out_dim * self.members
