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

    use: bool
    """Use this contrastive loss."""
    m_param: Annotated[Count, BeforeValidator(_whole)]
    """Negative queries from each other class (M)."""
    t_param: Positive
    """Temperature (T) that divides the cosine similarities."""
    reduction: Reduction = "reference"
    """Reduction over the queries: "mean", or "reference", the mean divided by their number (the published scale)."""


class AngularConfig(Section):
    """Angular loss (Wang et al. 2017) on mined triplets."""

    use: bool
    """Use this contrastive loss."""
    angle: Annotated[float, Field(ge=0, lt=90)]
    """Triplets with a larger angle are mined, degrees."""
    prototypes_as_anchors: bool
    """Anchors are prototypes only; if not, prototypes and queries form one labeled set."""
    alpha: Annotated[float, Field(gt=0, lt=90)] = 40.0
    """Upper bound of the angle in the loss, degrees."""


class LossConfig(Section):
    """Total loss: prototypical loss + l_param x contrastive loss."""

    l_param: Annotated[float, Field(ge=0)]
    """Weight of the contrastive loss."""
    cpl: CPLConfig
    angular: AngularConfig
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread evenly over the episode's classes. 0: off."""
    classification_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a cross-entropy over all training classes, by a linear head. 0: off."""
    pretraining_epochs: Annotated[int, Field(ge=0)] = 0
    """Number of first epochs that train with that cross-entropy alone."""

    @model_validator(mode="after")
    def _one_contrastive_loss(self) -> Self:
        if len(self.used) > 1:
            raise ValueError(f"{' and '.join(f'{name}.use' for name in self.used)} are both true; choose one")
        return self

    @property
    def used(self) -> list[Contrastive]:
        """The contrastive losses whose ``use`` is true; sections have the losses' names."""
        return [name for name in CONTRASTIVE if getattr(self, name).use]
