"""Meta-training of one run: Lightning's loop over episodes, on one device or several, resuming from its journal."""

import itertools
from contextlib import nullcontext
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

from fewshot_audio.audio.augment.inplace import draw_change
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.episodes import EpisodeSampler, Indices
from fewshot_audio.engine.auxiliary_classifier import JointClassification, build_head
from fewshot_audio.engine.batch_norm import RunningStatistics
from fewshot_audio.engine.checkpoint import STATE_FILE, AfterEpoch, Journal, nothing
from fewshot_audio.engine.episode_loss import EpisodeResult, episode_loss
from fewshot_audio.engine.evaluate import center_embeddings, evaluate_phase
from fewshot_audio.engine.history import Row, finished
from fewshot_audio.engine.loader import EpisodeLoader, TrainingData
from fewshot_audio.engine.optimizer import WeightAverage, build_optimizer, frozen, learning_rate
from fewshot_audio.errors import FewShotError
from fewshot_audio.functional.seeding import Purpose, forked, torch_generator, torch_seed
from fewshot_audio.models.huggingface import PretrainedEncoder
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.distributed import ALONE, PATIENCE, Ranks, local_devices
from fewshot_audio.runtime.silence import quiet
from fewshot_audio.runtime.tensors import MODEL_FILE, load_tensors, send


class Interrupted(FewShotError):
    """The user pressed Ctrl-C; finished epochs are kept."""


class Diverged(FewShotError):
    """A loss is not finite any more."""


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
        self.classifier = build_head(experiment, network.width, len(data.splits.train), seed)
        self.validated: dict[str, Tensor] = {}
        decay = experiment.optimization.averaging
        self.average = WeightAverage(network, decay) if decay else None
        samplers = {
            way: EpisodeSampler(
                data.store.index,
                data.splits.train,
                way,
                experiment.n_shot_train,
                experiment.n_query_train,
                seed=seed,
                phase="train",
                disjoint_groups=experiment.disjoint_groups,
                joint_sampling=experiment.joint_sampling,
            )
            for way in experiment.train_ways
        }
        tasks = ranks.tasks(experiment.n_training_tasks, experiment.episodes_per_step)
        self._following = dict(itertools.pairwise(tasks))
        self._tasks = tasks
        self._loader = EpisodeLoader(
            lambda epoch, task: samplers[experiment.train_way(epoch)].episode(epoch, task),
            data.store,
            network.norm_mean.device,
        )
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
        """The optimizer of what is not frozen, at the state it was left in."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = build_optimizer(trained, self.experiment)
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
        """Take the episode into the running statistics, and a step's weights into their average."""
        self._statistics.after(batch_idx)
        if self.average and (batch_idx + 1) % self.experiment.episodes_per_step == 0:
            self.average.update()

    def training_step(self, task: int) -> Tensor:
        """Draw an episode, make its views, compute its loss."""
        episode, support, query = self._loader.load(self.epoch, task, self._following.get(task))
        views = torch_generator(self.seed, "train", self.epoch, task, Purpose.VIEWS)
        inputs = torch_generator(self.seed, "train", self.epoch, task, Purpose.INPUT)
        support_views = self._views(support, episode.support, self.experiment.support_views("train"), views, inputs)
        query_views = self._views(query, episode.query, self.experiment.query_views("train"), views, inputs)
        contrast = torch_generator(self.seed, "train", self.epoch, task, Purpose.CONTRAST)
        joint = None
        if self.classifier is not None:
            classes = send(torch.from_numpy(episode.classes), self.device)
            joint = JointClassification.of(self.classifier, self.experiment, classes, self.epoch)
        with forked(torch_seed(self.seed, "train", self.epoch, task, Purpose.LAYERS), self.device):
            self.last = episode_loss(self.network, self.experiment, support_views, query_views, contrast, joint)
        self.totals.append(torch.stack([value.detach() for value in self.last]))
        return self.last.loss

    def validation_step(self, _: int) -> None:
        """Keep the epoch's row, with rank zero's scores of the validation tasks where there are such classes."""
        totals = self._episode_totals()
        self._statistics.average_ranks()
        validated = self.ranks.decide(self._validate)
        loss, accuracy, contrastive, pairs = totals.double().mean(0).tolist()
        row = {
            "epoch": self.epoch + 1,
            "lr": learning_rate(self.experiment, self.epoch),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "contrastive_loss": contrastive,
            "mined_pairs": pairs,
            "episodes_without_pairs": int((totals[:, 3] == 0).sum()) if self.experiment.contrastive == "angular" else 0,
            **validated,
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
            raise Diverged(f"training diverged: the loss of epoch {self.epoch + 1}, task {first} is not finite")
        return totals

    def _validate(self) -> Row:
        """Evaluate with the averaged weights, if there are such, and keep them as what the epoch came to."""
        with self.average.applied() if self.average else nullcontext():
            parts = self.network, self.experiment, self.data.store, self.data.views
            center_embeddings(*parts, self.data.splits.train, seed=self.seed)
            self.validated = {name: value.clone() for name, value in self.network.state_dict().items()}
            if not self.data.splits.validation:
                return {}
            scores = evaluate_phase(
                *parts,
                self.data.splits.validation,
                "validation",
                seed=self.seed,
                tasks=self.experiment.validation_tasks,
            )
        if not np.isfinite(scores.loss).all():
            raise Diverged(f"training diverged: after epoch {self.epoch + 1} the validation loss is not finite")
        return {"val_loss": float(scores.loss.mean()), "val_accuracy": float(scores.accuracy.mean())}

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on and that is not frozen; loads with ``weights_only=True``."""
        kept = self.network.state_dict().keys() - frozen(self.network)
        return {
            "network": {name: value for name, value in self.network.state_dict().items() if name in kept},
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "classifier": self.classifier.state_dict() if self.classifier is not None else None,
            "average": self.average.state() if self.average else None,
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where ``state`` was taken."""
        self.network.load_state_dict(self.network.state_dict() | state["network"])
        self._optimizer_state = state["optimizer"]
        if self.classifier is not None:
            self.classifier.load_state_dict(state["classifier"])
        if self.average:
            self.average.restore(state["average"])
        self.history = list(state["history"])
        self.first_epoch = len(self.history)

    def _views(
        self, raw: Tensor, items: Indices, views: int, generator: torch.Generator, inputs: torch.Generator
    ) -> Tensor:
        """Shape: raw (way * items, *segment), ``items`` (way, items) -> (way, items, views, mels, frames)."""
        size = self.data.views.input_shape(self.data.store.shape)
        change = draw_change(self.experiment.input_augmentation, items.shape, size, self.network.norm_std, inputs)
        if views == 1:
            made = self.data.views.plain(self.network, raw, change)
        else:
            draw = self.data.views.draw(len(raw), self.data.store.shape, generator)
            made = self.data.views.views(self.network, raw, draw, change)
        return made.view(*items.shape, *made.shape[1:])


def train_run(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    data: TrainingData,
    seed: int,
    folder: Path,
    progress: Progress = silent,
    ranks: Ranks = ALONE,
    *,
    after_epoch: AfterEpoch = nothing,
) -> list[Row]:
    """Train a run in ``folder``, going on from its last finished epoch; returns one row of metrics per epoch.

    On return the network of rank zero holds the weights of the best validation accuracy, which also lie in
    ``model.pt``; those of the last epoch where ``optimization.keep`` says so or the splits have no validation classes.
    Only rank zero reads and writes the folder. Raises Interrupted on Ctrl-C, and Diverged.
    """
    module = EpisodicTraining(network, experiment, data, seed, ranks)
    state = ranks.decide(lambda: load_tensors(folder / STATE_FILE) if (folder / STATE_FILE).exists() else None)
    if state is not None:
        module.restore(state)
    if not finished(experiment, module.history):
        _fit(module, folder, progress, after_epoch)
    if ranks.leads:
        network.load_state_dict(load_tensors(folder / MODEL_FILE))
    return module.history


def _fit(module: EpisodicTraining, folder: Path, progress: Progress, after_epoch: AfterEpoch) -> None:
    device, ranks = module.network.norm_mean.device, module.ranks
    first_gpu = (device.index or 0) - ranks.local
    try:
        with quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=local_devices(device, first_gpu, ranks.devices),
                num_nodes=ranks.nodes,
                strategy=_data_parallel(module.network) if ranks.size > 1 else "auto",
                use_distributed_sampler=False,
                gradient_clip_val=module.experiment.optimization.gradient_clip or None,
                accumulate_grad_batches=module.experiment.episodes_per_step,
                benchmark=device.type == "cuda",
                max_epochs=module.experiment.num_epochs - module.first_epoch,
                logger=TensorBoardLogger(folder, name="", version="tensorboard"),
                callbacks=[Journal(module, folder, progress, after_epoch)],
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


def _data_parallel(network: FewShotNetwork) -> DDPStrategy:
    """Buffers stay each rank's own until they are averaged; a fine-tuned encoder may leave layers out of an episode."""
    return DDPStrategy(
        broadcast_buffers=False,
        timeout=PATIENCE,
        find_unused_parameters=isinstance(network.encoder, PretrainedEncoder) and not network.encoder.frozen,
    )
