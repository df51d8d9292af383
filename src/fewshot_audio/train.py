"""Meta-training of one run: Lightning's loop over episodes, on one device or several, resuming from its journal."""

import bisect
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from fewshot_audio.chatter import quiet
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.episodes import EpisodeSampler
from fewshot_audio.errors import FewShotError
from fewshot_audio.evaluate import TaskScores, evaluate_phase
from fewshot_audio.history import Row, finished
from fewshot_audio.journal import STATE_FILE, Journal
from fewshot_audio.loading import EpisodeLoader, TrainingData
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.objective import EpisodeResult, episode_loss
from fewshot_audio.progress import Progress, silent
from fewshot_audio.randomness import Purpose, forked, torch_generator, torch_seed
from fewshot_audio.ranks import ALONE, PATIENCE, Ranks, local_devices
from fewshot_audio.running_statistics import RunningStatistics
from fewshot_audio.tensors import MODEL_FILE, load_tensors


class Interrupted(FewShotError):
    """The user pressed Ctrl-C; finished epochs are kept."""


def learning_rate(experiment: ExperimentConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0): torch's MultiStepLR, as a pure function so that resuming needs no state."""
    passed = bisect.bisect_right(experiment.scheduler_milestones, epoch)
    return experiment.lr * experiment.scheduler_gamma**passed


class EpisodicTraining(pl.LightningModule):
    """One run's training: a batch is the number of a task, everything else follows from (seed, epoch, task)."""

    def __init__(
        self,
        network: FewShotNetwork,
        experiment: ExperimentConfig,
        data: TrainingData,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__()
        self.network = network
        self.experiment = experiment
        self.data = data
        self.seed = seed
        self.ranks = ranks
        self.history: list[Row] = []
        self.first_epoch = 0
        self.totals: list[Tensor] = []
        self.last: EpisodeResult | None = None
        self._optimizer_state: dict[str, Any] | None = None
        sampler = EpisodeSampler(
            data.store.index,
            data.splits.train,
            experiment.n_way_train,
            experiment.n_shot_train,
            experiment.n_query_train,
            seed=seed,
            phase="train",
            disjoint_groups=experiment.disjoint_groups,
        )
        tasks = ranks.tasks(experiment.n_training_tasks, experiment.episodes_per_step)
        self._following = dict(itertools.pairwise(tasks))
        self._tasks = tasks
        self._loader = EpisodeLoader(sampler, data.store, network.norm_mean.device)
        self._statistics = RunningStatistics(network, experiment.episodes_per_step, ranks)

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0, counted over interruptions."""
        return self.first_epoch + self.current_epoch

    def train_dataloader(self) -> DataLoader[int]:
        """This rank's task numbers of an epoch."""
        tasks: Any = self._tasks
        return DataLoader(tasks, batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        """One step, which runs all validation tasks."""
        once: Any = range(1)
        return DataLoader(once, batch_size=None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, at the state it was left in."""
        fused = True if self.device.type == "cuda" else None
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.experiment.lr, fused=fused)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate(self.experiment, self.epoch)
        self.totals = []

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Prepare the running statistics for an episode."""
        self._statistics.before(batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:
        """Take the episode into account in the running statistics."""
        self._statistics.after(batch_idx)

    def training_step(self, task: int) -> Tensor:
        """Draw an episode, make its views, compute its loss."""
        episode, support, query = self._loader.load(self.epoch, task, self._following.get(task))
        views = torch_generator(self.seed, "train", self.epoch, task, Purpose.VIEWS)
        support_views = self._views(support, self.experiment.support_views("train"), views)
        query_views = self._views(query, self.experiment.query_views("train"), views)
        contrast = torch_generator(self.seed, "train", self.epoch, task, Purpose.CONTRAST)
        with forked(torch_seed(self.seed, "train", self.epoch, task, Purpose.LAYERS), self.device):
            self.last = episode_loss(
                self.network,
                self.experiment,
                support_views.view(*episode.support.shape, *support_views.shape[1:]),
                query_views.view(*episode.query.shape, *query_views.shape[1:]),
                contrast,
            )
        self.totals.append(torch.stack([value.detach() for value in self.last]))
        return self.last.loss

    def validation_step(self, _: int) -> None:
        """Have rank zero evaluate the validation tasks, and keep the epoch's row."""
        totals = self._episode_totals()
        self._statistics.average_ranks()
        scores = self.ranks.decide(self._validate)
        if not np.isfinite(scores.loss).all():
            raise FewShotError(f"training diverged: after epoch {self.epoch + 1} the validation loss is not finite")
        loss, accuracy, contrastive, pairs = totals.double().mean(0).tolist()
        row = {
            "epoch": self.epoch + 1,
            "lr": learning_rate(self.experiment, self.epoch),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "contrastive_loss": contrastive,
            "mined_pairs": pairs,
            "episodes_without_pairs": int((totals[:, 3] == 0).sum()) if self.experiment.contrastive == "angular" else 0,
            "val_loss": float(scores.loss.mean()),
            "val_accuracy": float(scores.accuracy.mean()),
        }
        self.history.append(row)
        if isinstance(self.logger, TensorBoardLogger):
            self.logger.log_metrics({key: value for key, value in row.items() if key != "epoch"}, self.epoch + 1)

    def _episode_totals(self) -> Tensor:
        """Loss, accuracy, contrastive loss and pairs of the epoch's episodes of all ranks. Shape: (tasks, 4)."""
        totals = self.ranks.stack(torch.stack(self.totals)).flatten(0, 1)
        number = self.experiment.n_training_tasks, self.experiment.episodes_per_step
        tasks = [task for rank in range(self.ranks.size) for task in replace(self.ranks, rank=rank).tasks(*number)]
        broken = (~totals[:, 0].isfinite()).nonzero().flatten().tolist()
        if broken:
            first = 1 + min(tasks[position] for position in broken)
            raise FewShotError(f"training diverged: the loss of epoch {self.epoch + 1}, task {first} is not finite")
        return totals

    def _validate(self) -> TaskScores:
        return evaluate_phase(
            self.network,
            self.experiment,
            self.data.store,
            self.data.views,
            self.data.splits.validation,
            "validation",
            seed=self.seed,
            tasks=self.experiment.validation_tasks,
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on; loads with ``weights_only=True``."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where ``state`` was taken."""
        self.network.load_state_dict(state["network"])
        self._optimizer_state = state["optimizer"]
        self.history = list(state["history"])
        self.first_epoch = len(self.history)

    def _views(self, raw: Tensor, views: int, generator: torch.Generator) -> Tensor:
        """Shape: raw (items, *segment) -> (items, views, mels, frames)."""
        if views == 1:
            return self.data.views.plain(self.network, raw)
        draw = self.data.views.draw(len(raw), self.data.store.shape, generator)
        return self.data.views.views(self.network, raw, draw)


def train_run(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    data: TrainingData,
    seed: int,
    folder: Path,
    progress: Progress = silent,
    ranks: Ranks = ALONE,
) -> list[Row]:
    """Train a run in ``folder``, going on from its last finished epoch; returns one row of metrics per epoch.

    On return the network of rank zero holds the weights of the best validation accuracy, which also lie in
    ``model.pt``; only rank zero reads and writes the folder. Raises Interrupted on Ctrl-C.
    """
    module = EpisodicTraining(network, experiment, data, seed, ranks)
    state = ranks.decide(lambda: load_tensors(folder / STATE_FILE) if (folder / STATE_FILE).exists() else None)
    if state is not None:
        module.restore(state)
    if not finished(experiment, module.history):
        _fit(module, folder, progress)
    if ranks.leads:
        network.load_state_dict(load_tensors(folder / MODEL_FILE))
    return module.history


def _fit(module: EpisodicTraining, folder: Path, progress: Progress) -> None:
    device, ranks = module.network.norm_mean.device, module.ranks
    first_gpu = (device.index or 0) - ranks.local
    try:
        with quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=local_devices(device, first_gpu, ranks.devices),
                num_nodes=ranks.nodes,
                # Buffers stay each rank's own until they are averaged.
                strategy=DDPStrategy(broadcast_buffers=False, timeout=PATIENCE) if ranks.size > 1 else "auto",
                use_distributed_sampler=False,
                accumulate_grad_batches=module.experiment.episodes_per_step,
                benchmark=device.type == "cuda",
                max_epochs=module.experiment.num_epochs - module.first_epoch,
                logger=TensorBoardLogger(folder, name="", version="tensorboard"),
                callbacks=[Journal(module, folder, progress)],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                log_every_n_steps=1,
            )
            trainer.fit(module)
    except SystemExit as error:  # Lightning's answer to Ctrl-C, after its own shutdown
        raise Interrupted("interrupted") from error
    if trainer.interrupted:
        raise Interrupted("interrupted")
