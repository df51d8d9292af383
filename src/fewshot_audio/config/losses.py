"""The ``loss`` section of the experiment file."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from fewshot_audio.config.base import Count, Positive, Section
from fewshot_audio.config.open_section import OpenSection
from fewshot_audio.config.registry import Part, Registry

Reduction = Literal["reference", "mean"]
Contrastive = Literal["cpl", "angular"]  # those of the paper, which the scenarios use


def _whole(value: Any) -> Any:
    """Read 4.0 as 4: the published table gives M as 4.0000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ContrastiveSection(Section):
    """What the section of every contrastive loss has; its other keys are the options of the loss."""

    use: bool = False
    """Use this contrastive loss."""


class CPLConfig(ContrastiveSection):
    """Contrastive prototype loss (Gao et al. 2021)."""

    m_param: Annotated[Count, BeforeValidator(_whole)] = 3
    """Negative queries from each other class (M)."""
    t_param: Positive = 6.0488
    """Temperature (T) that divides the cosine similarities."""
    reduction: Reduction = "reference"
    """Reduction over the queries: "mean", or "reference", the mean divided by their number (the published scale)."""


class AngularConfig(ContrastiveSection):
    """Angular loss (Wang et al. 2017) on mined triplets."""

    angle: Annotated[float, Field(ge=0, lt=90)] = 15.0
    """Triplets with a larger angle are mined, degrees."""
    prototypes_as_anchors: bool = True
    """Anchors are prototypes only; if not, prototypes and queries form one labeled set."""
    alpha: Annotated[float, Field(gt=0, lt=90)] = 40.0
    """Upper bound of the angle in the loss, degrees."""


class MetricConfig(ContrastiveSection):
    """A loss of the library pytorch-metric-learning, on prototypes and queries as one labeled batch."""

    loss: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] = "SupConLoss"
    """Name of its class in `pytorch_metric_learning.losses`."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """Its arguments; the others have the library's defaults."""


CONTRASTIVE_LOSSES = Registry(
    "contrastive loss",
    [
        Part("cpl", CPLConfig, "fewshot_audio.engine.contrastive_losses:CPL"),
        Part("angular", AngularConfig, "fewshot_audio.engine.contrastive_losses:Angular"),
        Part("metric", MetricConfig, "fewshot_audio.engine.metric_loss:Metric"),
    ],
    keys=["use"],
)
register_contrastive_loss = CONTRASTIVE_LOSSES.register


class LossConfig(OpenSection):
    """Total loss: prototypical loss + l_param x contrastive loss. One of the contrastive losses at most is used.

    A contrastive loss from outside has its section here, under "package.module:Class" or the name it is registered by.
    """

    parts: ClassVar = CONTRASTIVE_LOSSES
    references: ClassVar = True

    l_param: Annotated[float, Field(ge=0)]
    """Weight of the contrastive loss."""
    cpl: CPLConfig = CPLConfig()
    angular: AngularConfig = AngularConfig()
    metric: MetricConfig = MetricConfig()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread evenly over the classes: those of the episode, and in the cross-entropy over all
    training classes all of these. 0: off."""
    classification_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a cross-entropy over all training classes, by a linear head. 0: off."""
    pretraining_epochs: Annotated[int, Field(ge=0)] = 0
    """Number of first epochs that train with that cross-entropy alone."""

    @model_validator(mode="after")
    def _one_contrastive_loss(self) -> Self:
        if len(self.used) > 1:
            both = "both" if len(self.used) == 2 else "all"
            raise ValueError(f"{' and '.join(f'{name}.use' for name in self.used)} are {both} true; choose one")
        return self

    @property
    def used(self) -> list[str]:
        """The contrastive losses whose ``use`` is true, by the keys of their sections."""
        return [key for key, value in self if isinstance(value, Section) and getattr(value, "use", False)]
