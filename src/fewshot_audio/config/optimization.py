"""The section of the experiment file that says how weights move."""

from typing import Annotated, Literal

from pydantic import Field

from fewshot_audio.config.base import Section


class Optimization(Section):
    """Beside ``lr`` and the milestones; everything is off by default."""

    weight_decay: Annotated[
        float, Field(ge=0, lt=1, description="Decoupled decay of weights (AdamW), not of biases and norms. 0: Adam.")
    ] = 0.0
    schedule: Annotated[
        Literal["milestones", "cosine"],
        Field(description='"milestones": as scheduler_milestones say; "cosine": half a cosine over num_epochs to 0.'),
    ] = "milestones"
    warmup_epochs: Annotated[int, Field(ge=0, description="First epochs, in which the rate rises linearly to lr.")] = 0
    gradient_clip: Annotated[float, Field(ge=0, description="Largest norm of the gradient of a step. 0: off.")] = 0.0
    averaging: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Decay per step of a moving average of the weights, which is what is validated and saved. "
            "0: off.",
        ),
    ] = 0.0
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description='Weights that a run ends with: "best", of the epoch with the best validation accuracy; "last", '
            "of the last epoch, without a choice; then patience has no effect."
        ),
    ] = "best"
