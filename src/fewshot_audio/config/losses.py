"""The ``loss`` section of the experiment file."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from fewshot_audio.config.base import Count, Positive, Section

Reduction = Literal["reference", "mean"]
Contrastive = Literal["cpl", "angular"]

CONTRASTIVE: tuple[Contrastive, ...] = get_args(Contrastive)


def _whole(value: Any) -> Any:
    """Read 4.0 as 4: the published table gives M as 4.0000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CPLConfig(Section):
    """Contrastive prototype loss (Gao et al. 2021)."""

    use: Annotated[bool, Field(description="Use this contrastive loss.")]
    m_param: Annotated[Count, BeforeValidator(_whole), Field(description="Negative queries from each other class (M).")]
    t_param: Annotated[Positive, Field(description="Temperature (T) that divides the cosine similarities.")]
    reduction: Annotated[
        Reduction,
        Field(description='"mean" over the queries; "reference": that divided by their number, the published scale.'),
    ] = "reference"


class AngularConfig(Section):
    """Angular loss (Wang et al. 2017) on mined triplets."""

    use: Annotated[bool, Field(description="Use this contrastive loss.")]
    angle: Annotated[float, Field(ge=0, lt=90, description="Triplets with a larger angle are mined, degrees.")]
    prototypes_as_anchors: Annotated[
        bool, Field(description="Anchors are prototypes only; if not, prototypes and queries form one labeled set.")
    ]
    alpha: Annotated[float, Field(gt=0, lt=90, description="Upper bound of the angle in the loss, degrees.")] = 40.0


class LossConfig(Section):
    """Total loss: prototypical loss + l_param x contrastive loss."""

    l_param: Annotated[float, Field(ge=0, description="Weight of the contrastive loss.")]
    cpl: CPLConfig
    angular: AngularConfig
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of the target spread evenly over the episode's classes. 0: off.")
    ] = 0.0
    classification_weight: Annotated[
        float, Field(ge=0, description="Weight of a cross-entropy over all training classes, by a linear head. 0: off.")
    ] = 0.0
    pretraining_epochs: Annotated[
        int, Field(ge=0, description="Number of first epochs that train with that cross-entropy alone.")
    ] = 0

    @model_validator(mode="after")
    def _one_contrastive_loss(self) -> Self:
        if len(self.used) > 1:
            raise ValueError(f"{' and '.join(f'{name}.use' for name in self.used)} are both true; choose one")
        return self

    @property
    def used(self) -> list[Contrastive]:
        """The contrastive losses whose ``use`` is true; sections have the losses' names."""
        return [name for name in CONTRASTIVE if getattr(self, name).use]
