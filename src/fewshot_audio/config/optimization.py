"""The ``optimization`` section of the experiment file."""

from typing import Annotated, Literal

from pydantic import Field

from fewshot_audio.config.base import Section


class Optimization(Section):
    """The optimizer, beside ``lr`` and the milestones. Everything is off by default."""

    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decoupled weight decay (AdamW), not of biases and norms. 0: Adam."""
    schedule: Literal["milestones", "cosine"] = "milestones"
    """How the learning rate falls: "milestones", in steps at scheduler_milestones; "cosine", as half a cosine over
    num_epochs to 0."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Number of first epochs in which the rate rises linearly to lr."""
    gradient_clip: Annotated[float, Field(ge=0)] = 0.0
    """The gradient of a step is scaled down to this norm if it is larger. 0: off."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of a moving average of the weights, which is what is validated and saved. 0: off."""
    keep: Literal["best", "last"] = "best"
    """Epoch whose weights a run keeps: "best", with the best validation accuracy, or "last"; then patience has no
    effect."""
