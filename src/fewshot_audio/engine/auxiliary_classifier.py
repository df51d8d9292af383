"""A classifier of all training classes on the embeddings of episodes, trained beside or before the episodic loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.functional.seeding import Purpose, fork_rng, torch_seed

HEAD = 1  # task number of the random stream of its initialization; the network's is 0


def build_head(experiment: ExperimentConfig, width: int, classes: int, seed: int) -> nn.Linear | None:
    """Build the classifier if the experiment uses one. It is needed in training only and is no part of the network."""
    loss = experiment.loss
    used = loss.classification_weight or loss.pretraining_epochs or experiment.algorithm.name == "simpleshot"
    if not used:
        return None
    with fork_rng(torch_seed(seed, "train", 0, HEAD, Purpose.INIT), torch.device("cpu")):
        return nn.Linear(width, classes)


@dataclass(frozen=True)
class AuxiliaryClassification:
    """Classification of an episode's embeddings among all training classes.

    Joint training as in Oreshkin et al. 2018 (TADAM), or with ``alone`` pre-training as in Chen et al. 2021
    (Meta-Baseline), on the segments of episodes.

    Attributes:
        head: scores of all training classes.
        classes: numbers of the episode's classes among them, (way,).
        weight: of this loss beside the episode's.
        alone: this loss takes the place of the episode's.
        smoothing: label smoothing.
    """

    head: nn.Linear
    classes: Tensor
    weight: float
    alone: bool
    smoothing: float

    @classmethod
    def of(
        cls, head: nn.Linear, experiment: ExperimentConfig, classes: Tensor, epoch: int
    ) -> "AuxiliaryClassification":
        """The classification of an episode in an epoch (from 0), as the experiment has it."""
        loss = experiment.loss
        alone = epoch < loss.pretraining_epochs or experiment.algorithm.name == "simpleshot"
        return cls(head, classes, loss.classification_weight, alone, loss.label_smoothing)

    def blend(self, episode_loss: Tensor, support: Tensor, query: Tensor) -> Tensor:
        """Add the classification loss of all rows to the episode's loss, or with ``alone`` replace that loss.

        Shape: support and query (segments, rows, width), segments ordered by class.
        """
        way, width = len(self.classes), support.shape[-1]
        rows = torch.cat([part.reshape(way, -1, width) for part in (support, query)], dim=1)
        labels = self.classes.repeat_interleave(rows.shape[1])
        loss = F.cross_entropy(self.head(rows.flatten(0, 1)), labels, label_smoothing=self.smoothing)
        # With a weight of 0 every parameter still gets a gradient, which data-parallel training waits for.
        return 0 * episode_loss + loss if self.alone else episode_loss + self.weight * loss
