"""The model file: sizes and options of each part of the network."""

from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import Field, ValidationError, field_validator

from fewshot_audio.config.base import Count, PoolDim, Section
from fewshot_audio.config.frozen import MOST_ENCODERS, frozen_references
from fewshot_audio.config.open_section import OpenSection
from fewshot_audio.config.registry import Part, Registry
from fewshot_audio.errors import ConfigError

EncoderName = Literal["CNN", "Hybrid", "ResNet12"]
MemberName = Literal["CNN", "Hybrid", "ResNet8", "ResNet12"]
MOST_MEMBERS = 64
PRETRAINED = "hf:"  # prefix of the folder or id of a Hugging Face audio encoder


class EncoderConfig(Section):
    """What the section of every encoder has."""

    out_dim: Count = 64
    """Width of the encoder's output."""


class CNNConfig(EncoderConfig):
    """Four convolution blocks and a linear layer."""

    retired: ClassVar = {"in_channels": 1}
    retired_values: ClassVar = {"pooling": "attention"}

    hidden_channels: Count = 64
    """Channels of every convolution."""
    pool_dim: PoolDim = Field(default_factory=lambda: [3, 3])
    """Pooling of each block: [mel, time], or one number for both."""
    pooling: Literal["last", "mean", "mean_max"] = "last"
    """Input of the last layer: "last", the whole map (Hybrid: the last step); else the map pooled over positions."""
    pool_last: bool = True
    """The last block pools too; if not, the last map of a 128 x 157 segment is 4 x 5, not 1 x 1."""

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class HybridConfig(CNNConfig):
    """Four convolution blocks and a recurrent layer over time (CRNN)."""

    seq_layers: Count = 1
    """Stacked recurrent layers."""
    seq_type: Literal["RNN", "GRU", "LSTM"] = "RNN"
    """Kind of recurrent layer."""
    bidirectional: bool = False
    """Run over time in both directions and add the two outputs."""


class ResNet8Config(EncoderConfig):
    """A strided stem, three residual blocks of two convolutions, statistics over the audible steps, a linear layer."""

    widths: Annotated[list[Count], Field(min_length=4, max_length=4)] = Field(default_factory=lambda: [32, 64, 96, 128])
    """Channels of the stem and of the three blocks."""
    out_dim: Count = 256
    """Width of the encoder's output."""


class ResNet12Config(EncoderConfig):
    """A strided stem, four residual blocks of three convolutions, pooling and a linear layer."""

    retired: ClassVar = {"in_channels": 1}
    retired_values: ClassVar = {"pooling": "attention"}

    widths: Annotated[list[Count], Field(min_length=4, max_length=4)] = Field(default_factory=lambda: [24, 48, 96, 160])
    """Channels of the four blocks; published: 64 to 640."""
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 2
    """Stride of a first convolution, which makes the blocks cheaper. 1: none."""
    pooling: Literal["mean", "mean_max"] = "mean"
    """Pooling over the positions of the last map."""
    pool_last: bool = True
    """The last block pools (2 x 2) too."""
    drop_block: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the last two blocks' maps that is set to 0, in squares. 0: off."""
    drop_block_size: Count = 3
    """Side of these squares, at most that of the map."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the linear layer."""

    @property
    def poolings(self) -> int:
        """How many of the four blocks pool."""
        return 4 if self.pool_last else 3


class PretrainedConfig(EncoderConfig):
    """A pretrained Hugging Face audio encoder and a linear layer, for ``encoder_name: "hf:..."``."""

    freeze: bool = True
    """Do not train the pretrained weights."""
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


class FrozenConfig(EncoderConfig):
    """Frozen encoders and a linear layer: the section of all of them, one or several side by side."""

    draws: Annotated[int, Field(ge=1, le=64)] = 4
    """Draws of augmented views of a segment that are embedded; episodes and tasks take one of them at random."""
    definition: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ENCODERS)] | None = None
    """Descriptions of the encoders, with the digests of their weights. A run fills this in when it starts."""


ENCODERS = Registry(
    "encoder",
    [
        Part("CNN", CNNConfig, "fewshot_audio.models.encoders:CNN"),
        Part("Hybrid", HybridConfig, "fewshot_audio.models.encoders:Hybrid"),
        Part("ResNet8", ResNet8Config, "fewshot_audio.models.resnet8:ResNet8"),
        Part("ResNet12", ResNet12Config, "fewshot_audio.models.resnet:ResNet12"),
    ],
    keys=["out_dim"],
)
register_encoder = ENCODERS.register


def load_encoder(name: Any) -> None:
    """Register an encoder from outside, if this may be its name; whether it is one is checked by ``encoder_name``."""
    if isinstance(name, str) and not name.startswith(PRETRAINED) and not frozen_references(name):
        with suppress(ConfigError):
            ENCODERS.find(name)


class AttentionConfig(Section):
    """One transformer encoder layer over the views of a segment."""

    embed_dim: Count | None = None
    """Width of a view's embedding: the encoder's out_dim. null: derived."""
    num_heads: Count = 1
    """Attention heads; must divide embed_dim."""
    ffn_dim: Count = 256
    """Width of the feed-forward layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside the layer."""


class ProjectionConfig(Section):
    """Projection head of the contrastive branch: linear, ReLU, linear, L2 normalization."""

    input_dim: Count | None = None
    """Width of an embedding: out_dim, with attention out_dim x views. null: derived."""
    hidden_dim: Count = 128
    """Width of the hidden layer."""
    output_dim: Count = 256
    """Width of the projected embedding."""


class RelationConfig(Section):
    """Relation head (Sung et al. 2018): scores a query and a prototype, concatenated."""

    input_dim: Count | None = None
    """Twice the width of an embedding. null: derived."""
    hidden_dim1: Count = 256
    """Width of the first hidden layer."""
    hidden_dim2: Count = 128
    """Width of the second hidden layer."""
    hidden_dim3: Count = 256
    """Width of the third hidden layer."""
    out_dim: Literal[1] | None = None
    """One relation score. null: derived."""


class ModelConfig(OpenSection):
    """The model file. It also holds the sections of encoders from outside, under their names."""

    parts: ClassVar = ENCODERS

    CNN: CNNConfig = CNNConfig()
    Hybrid: HybridConfig = HybridConfig()
    Attention: AttentionConfig = AttentionConfig()
    Projection: ProjectionConfig = ProjectionConfig()
    Relation: RelationConfig = RelationConfig()
    ResNet12: ResNet12Config = ResNet12Config()
    ResNet8: ResNet8Config = ResNet8Config()
    Pretrained: PretrainedConfig = PretrainedConfig()
    Frozen: FrozenConfig = FrozenConfig()
    members: Count | list[MemberName] = 1
    """Encoders whose outputs are concatenated: how many of encoder_name's, or the name of each, that one among them.
    `fewshot-audio join` joins those of runs."""

    @field_validator("members", mode="before")
    @classmethod
    def _number_or_names(cls, value: Any) -> Any:
        known = get_args(MemberName)
        if isinstance(value, list) and 2 <= len(value) <= MOST_MEMBERS and all(name in known for name in value):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        raise ValueError(
            f"expected a whole number from 1 on, or a list of 2 to {MOST_MEMBERS} names of {', '.join(known)}"
        )

    def member_names(self, name: str | list[str]) -> list[str | list[str]]:
        """The encoder of each member of a network whose ``encoder_name`` is ``name``."""
        return [*self.members] if isinstance(self.members, list) else [name] * self.members

    def member_kinds(self, name: str | list[str]) -> list[str | list[str]]:
        """The different encoders among the members of a network whose ``encoder_name`` is ``name``."""
        return [*dict.fromkeys(self.members)] if isinstance(self.members, list) else [name]

    def encoder(self, name: str | list[str]) -> EncoderConfig:
        """Return the section of an encoder: ``Frozen`` of frozen ones, ``Pretrained`` if its name begins with "hf:".

        Else it is that of its part.

        One from outside may have no section in the file; then it has its default options.

        Raises:
            ConfigError: the encoder cannot be loaded, or its section is missing and has keys without defaults.
        """
        if isinstance(name, list) or frozen_references(name):
            return self.Frozen
        if name.startswith(PRETRAINED):
            return self.Pretrained
        part = ENCODERS.find(name)
        section = getattr(self, part.name, None)
        if section is None and part.section is not None:
            try:
                section = part.section()
            except ValidationError as error:
                keys = ", ".join(".".join(map(str, details["loc"])) for details in error.errors())
                raise ConfigError(
                    f"the model file has no section {part.name!r}, which encoder {name!r} needs for: {keys}"
                ) from error
        return cast(EncoderConfig, section)  # or another with the key `out_dim`, as the registry makes sure

    def out_dim(self, name: str | list[str]) -> int:
        """Width of a view's embedding by an encoder, with all members."""
        if isinstance(self.members, list):
            return sum(self.encoder(member).out_dim for member in self.members)
        return self.encoder(name).out_dim * self.members
