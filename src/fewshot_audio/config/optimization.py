"""The ``optimization`` section of the experiment file."""

from typing import Annotated, Literal

from pydantic import Field

from fewshot_audio.config.base import Section


class Optimization(Section):
    """The optimizer, beside ``lr`` and the milestones. Everything is off by default."""

    weight_decay: Annotated[
        float, Field(ge=0, lt=1, description="Decoupled weight decay (AdamW), not of biases and norms. 0: Adam.")
    ] = 0.0
    schedule: Annotated[
        Literal["milestones", "cosine"],
        Field(
            description='"milestones": steps at scheduler_milestones; "cosine": half a cosine down to 0 at num_epochs.'
        ),
    ] = "milestones"
    warmup_epochs: Annotated[
        int, Field(ge=0, description="Number of first epochs in which the rate rises linearly to lr.")
    ] = 0
    gradient_clip: Annotated[
        float, Field(ge=0, description="The gradient of a step is scaled down to this norm if it is larger. 0: off.")
    ] = 0.0
    averaging: Annotated[
        float, Field(ge=0, lt=1, description="Decay of a moving average of the weights, which is saved. 0: off.")
    ] = 0.0
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description='Epoch whose weights a run keeps: "best", with the best validation accuracy, or "last"; then '
            "patience has no effect."
        ),
    ] = "best"
