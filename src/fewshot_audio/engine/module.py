"""Meta-training of a network as a Lightning module: a step is an episode, an epoch ends with validation."""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from fewshot_audio.audio.augment.inputs import draw_change
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.engine.adapted_tasks import adapted_episode_loss
from fewshot_audio.engine.auxiliary_classifier import AuxiliaryClassification, build_head
from fewshot_audio.engine.batch_norm import RunningStatistics
from fewshot_audio.engine.episode_loss import EpisodeResult, Objective, episode_loss
from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.history import Row, is_finished
from fewshot_audio.engine.loader import EpisodeLoader, TrainingData
from fewshot_audio.engine.optimizer import WeightAverage, build_optimizer, frozen_names, learning_rate
from fewshot_audio.engine.system import NetworkSystem, fit_transform
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.errors import Diverged
from fewshot_audio.functional.seeding import Purpose, fork_rng, torch_generator, torch_seed
from fewshot_audio.models.former_names import rename_former
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.distributed import SINGLE_PROCESS, Ranks
from fewshot_audio.runtime.tensors import send


class EpisodicTraining(pl.LightningModule):
    """The training of a run: a batch is the number of a task; everything else follows from (seed, epoch, task).

    Args:
        network: with the weights that the run starts from and the dataset's normalization, on its device.
        experiment: episodes, losses and optimization.
        data: what the network is trained and validated on.
        seed: of the run; decides everything random.
        ranks: the processes that train the network together.

    Attributes:
        history: one row of metrics per epoch.
        last_result: the losses of the last episode.
        epoch_weights: the weights that the last epoch was validated with.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        experiment: ExperimentConfig,
        data: TrainingData,
        seed: int,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        super().__init__()
        self.network = network
        self.experiment = experiment
        self.data = data
        self.seed = seed
        self.ranks = ranks
        self.history: list[Row] = []
        self.first_epoch = 0
        self.episode_values: list[Tensor] = []
        self.last_result: EpisodeResult | None = None
        self._optimizer_state: dict[str, Any] | None = None
        self.objective = Objective.of(experiment)
        self.classifier = build_head(experiment, network.width, len(data.splits.train), seed)
        self.epoch_weights: dict[str, Tensor] = {}
        decay = experiment.optimization.averaging
        self.average = WeightAverage(network, decay) if decay else None
        episodes = Episodes(
            data.store.index,
            data.splits.train,
            experiment.n_way_train,
            experiment.n_shot_train,
            experiment.n_query_train,
            seed=seed,
            phase="train",
            disjoint_groups=experiment.disjoint_groups,
            joint_sampling=experiment.joint_sampling,
        )
        tasks = ranks.tasks(experiment.n_training_tasks, experiment.episodes_per_step)
        self._next_task = dict(itertools.pairwise(tasks))
        self._tasks = tasks
        self._loader = EpisodeLoader(episodes.episode, data, network.norm_mean.device)
        self._statistics = RunningStatistics(network, experiment.episodes_per_step, ranks)

    @property
    def epoch(self) -> int:
        """The current epoch, from 0, counted from the start of the run and not from the last interruption."""
        return self.first_epoch + self.current_epoch

    @property
    def is_finished(self) -> bool:
        """Whether there is no epoch left to train."""
        experiment = self.experiment
        return is_finished(
            self.history,
            num_epochs=experiment.num_epochs,
            patience=experiment.patience,
            keep=experiment.optimization.keep,
        )

    def train_dataloader(self) -> DataLoader[int]:
        """This rank's task numbers of an epoch."""
        tasks: Any = self._tasks
        return DataLoader(tasks, batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        """One step, which runs all validation tasks."""
        once: Any = range(1)
        return DataLoader(once, batch_size=None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of all weights that are not frozen, in the state that ``restore`` read, if it did."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = build_optimizer(trained, self.experiment.lr, self.experiment.optimization.weight_decay)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate(self.experiment, self.epoch)
        self.episode_values = []

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Prepare the running statistics for an episode."""
        self._statistics.before(batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:
        """Take the episode into the running statistics, and a step's weights into their average."""
        self._statistics.after(batch_idx)
        if self.average and (batch_idx + 1) % self.experiment.episodes_per_step == 0:
            self.average.update()

    def training_step(self, task: int) -> Tensor:
        """Draw an episode, make its views, compute its loss."""
        episode, support, query = self._loader.load(self.epoch, task, self._next_task.get(task))
        view_generator = torch_generator(self.seed, "train", self.epoch, task, Purpose.VIEWS)
        input_generator = torch_generator(self.seed, "train", self.epoch, task, Purpose.INPUT)
        support_views = self._views(
            support, episode.support, self.experiment.support_views("train"), view_generator, input_generator
        )
        query_views = self._views(
            query, episode.query, self.experiment.query_views("train"), view_generator, input_generator
        )
        contrast_generator = torch_generator(self.seed, "train", self.epoch, task, Purpose.CONTRAST)
        auxiliary = None
        if self.classifier is not None:
            classes = send(torch.from_numpy(episode.classes), self.device)
            auxiliary = AuxiliaryClassification.of(self.classifier, self.experiment, classes, self.epoch)
        with fork_rng(torch_seed(self.seed, "train", self.epoch, task, Purpose.LAYERS), self.device):
            if self.network.adaptation is not None:
                smoothing = self.objective.loss.label_smoothing
                self.last_result = adapted_episode_loss(
                    self.network, self.network.adaptation, support_views, query_views, smoothing
                )
            else:
                self.last_result = episode_loss(
                    self.network, self.objective, support_views, query_views, contrast_generator, auxiliary
                )
        self.episode_values.append(torch.stack([value.detach() for value in self.last_result]))
        return self.last_result.loss

    def validation_step(self, _: int) -> None:
        """Add the epoch's row to the history, with rank zero's validation scores if there are validation classes."""
        values = self._gather_episode_values()
        self._statistics.average_ranks()
        validation = self.ranks.on_rank_zero(self._validate)
        loss, accuracy, contrastive, pairs = values.double().mean(0).tolist()
        row = {
            "epoch": self.epoch + 1,
            "lr": learning_rate(self.experiment, self.epoch),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "contrastive_loss": contrastive,
            "mined_pairs": pairs,
            "episodes_without_pairs": int((values[:, 3] == 0).sum()) if self.experiment.contrastive == "angular" else 0,
            **validation,
        }
        self.history.append(row)
        if self.logger is not None:
            self.logger.log_metrics({key: value for key, value in row.items() if key != "epoch"}, self.epoch + 1)

    def _gather_episode_values(self) -> Tensor:
        """Loss, accuracy, contrastive loss and pairs of the epoch's episodes of all ranks. Shape: (tasks, 4)."""
        values = self.ranks.all_gather(torch.stack(self.episode_values)).flatten(0, 1)
        n_tasks, per_step = self.experiment.n_training_tasks, self.experiment.episodes_per_step
        tasks = [
            task for rank in range(self.ranks.size) for task in replace(self.ranks, rank=rank).tasks(n_tasks, per_step)
        ]
        diverged = (~values[:, 0].isfinite()).nonzero().flatten().tolist()
        if diverged:
            first = 1 + min(tasks[position] for position in diverged)
            raise Diverged(f"training diverged: the loss of epoch {self.epoch + 1}, task {first} is not finite")
        return values

    def _validate(self) -> Row:
        """Evaluate with the epoch's weights, which are the averaged ones if weights are averaged, and store them."""
        with self.average.applied() if self.average else nullcontext():
            system = NetworkSystem.validation(self.network, self.experiment, self.data, self.seed)
            fit_transform(system)
            self.epoch_weights = {name: value.clone() for name, value in self.network.state_dict().items()}
            if not self.data.splits.validation:
                return {}
            scores = evaluate_network(system, TaskProtocol.validation(self.experiment, self.seed))
        if not np.isfinite(scores.loss).all():
            raise Diverged(f"training diverged: after epoch {self.epoch + 1} the validation loss is not finite")
        return {"val_loss": float(scores.loss.mean()), "val_accuracy": float(scores.accuracy.mean())}

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, without frozen weights; loads with ``weights_only=True``."""
        trained = self.network.state_dict().keys() - frozen_names(self.network)
        return {
            "network": {name: value for name, value in self.network.state_dict().items() if name in trained},
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "classifier": self.classifier.state_dict() if self.classifier is not None else None,
            "average": self.average.state() if self.average else None,
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a ``state()``."""
        weights = dict(state["network"])
        rename_former(weights)
        self.network.load_state_dict(self.network.state_dict() | weights)
        self._optimizer_state = state["optimizer"]
        if self.classifier is not None:
            self.classifier.load_state_dict(state["classifier"])
        if self.average:
            self.average.restore(state["average"])
        self.history = list(state["history"])
        self.first_epoch = len(self.history)

    def _views(
        self,
        raw: Tensor,
        items: Indices,
        n_views: int,
        view_generator: torch.Generator,
        input_generator: torch.Generator,
    ) -> Tensor:
        """Make the views of an episode's support or queries.

        Shape: raw (way * items, *segment), ``items`` (way, items) -> (way, items, views, mels, frames).
        """
        size = self.data.views.input_shape(self.data.store.shape)
        change = draw_change(
            self.experiment.input_augmentation, items.size, size, self.network.norm_std, input_generator
        )
        if n_views == 1:
            views = self.data.views.plain(self.network, raw, change)
        else:
            draw = self.data.views.draw(len(raw), self.data.store.shape, view_generator)
            views = self.data.views.views(self.network, raw, draw, change)
        return views.view(*items.shape, *views.shape[1:])
