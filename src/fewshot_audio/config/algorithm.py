"""The ``algorithm`` section of the experiment file."""

from typing import Literal, TypeAlias

from fewshot_audio.config.base import Count, Positive, Section

AlgorithmName: TypeAlias = Literal["prototypes", "fo-maml", "fo-meta-curvature", "meta-baseline", "simpleshot"]
ADAPTING = ("fo-maml", "fo-meta-curvature")


class Algorithm(Section):
    """The few-shot learning algorithm, on the same encoders and the same tasks."""

    name: AlgorithmName = "prototypes"
    """Algorithm. "prototypes": prototypes or a relation head, trained by the losses of the file. "fo-maml" and
    "fo-meta-curvature": the encoder, whose outputs are the scores of the classes, is adapted to each task's support by
    gradient steps. "meta-baseline": a classifier for loss.pretraining_epochs, then cosine similarities with a trained
    scale. "simpleshot": a classifier of the training classes, then the nearest mean of centered embeddings."""
    inner_steps: Count = 5
    """Gradient steps on the support of a task, in training and testing ("fo-maml", "fo-meta-curvature")."""
    inner_lr: Positive = 0.1
    """Learning rate of these steps."""

    @property
    def adapts(self) -> bool:
        """Whether the encoder is adapted to each task."""
        return self.name in ADAPTING
