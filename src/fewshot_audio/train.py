"""Meta-training of one run: Lightning's loop over episodes, a journal after every epoch, resuming from it."""

import bisect
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.splits import Splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.episodes import EpisodeSampler, Indices
from fewshot_audio.errors import FewShotError
from fewshot_audio.evaluate import evaluate_phase
from fewshot_audio.files import write_text
from fewshot_audio.history import Row, best_epoch, finished, metrics_csv
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.objective import EpisodeResult, episode_loss
from fewshot_audio.progress import Progress, silent
from fewshot_audio.randomness import Purpose, forked, torch_generator, torch_seed
from fewshot_audio.tensors import MODEL_FILE, load_tensors, save_tensors
from fewshot_audio.views import ViewMaker

logger = logging.getLogger(__name__)

STATE_FILE, METRICS_FILE = "state.pt", "metrics.csv"
REPORT_SECONDS = 0.25


class Interrupted(FewShotError):
    """The user pressed Ctrl-C; finished epochs are kept."""


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on."""

    store: SegmentStore
    splits: Splits
    views: ViewMaker


def learning_rate(experiment: ExperimentConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0): torch's MultiStepLR, as a pure function so that resuming needs no state."""
    passed = bisect.bisect_right(experiment.scheduler_milestones, epoch)
    return experiment.lr * experiment.scheduler_gamma**passed


class EpisodicTraining(pl.LightningModule):
    """One run's training: a batch is the number of a task, everything else follows from (seed, epoch, task)."""

    def __init__(self, network: FewShotNetwork, experiment: ExperimentConfig, data: TrainingData, seed: int) -> None:
        super().__init__()
        self.network = network
        self.experiment = experiment
        self.data = data
        self.seed = seed
        self.history: list[Row] = []
        self.first_epoch = 0
        self.totals: list[Tensor] = []
        self.last: EpisodeResult | None = None
        self._optimizer_state: dict[str, Any] | None = None
        self._sampler = EpisodeSampler(
            data.store.index,
            data.splits.train,
            experiment.n_way_train,
            experiment.n_shot_train,
            experiment.n_query_train,
            seed=seed,
            phase="train",
            disjoint_groups=experiment.disjoint_groups,
        )

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0, counted over interruptions."""
        return self.first_epoch + self.current_epoch

    def train_dataloader(self) -> DataLoader[int]:
        """Task numbers of an epoch."""
        tasks: Any = range(self.experiment.n_training_tasks)
        return DataLoader(tasks, batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        """One step, which runs all validation tasks."""
        once: Any = range(1)
        return DataLoader(once, batch_size=None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, at the state it was left in."""
        trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trainable, lr=self.experiment.lr)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate(self.experiment, self.epoch)
        self.totals = []

    def training_step(self, task: int) -> Tensor:
        """Draw an episode, make its views, compute its loss."""
        episode = self._sampler.episode(self.epoch, task)
        views = torch_generator(self.seed, "train", self.epoch, task, Purpose.VIEWS)
        support = self._views(episode.support, self.experiment.support_views("train"), views)
        query = self._views(episode.query, self.experiment.query_views("train"), views)
        contrast = torch_generator(self.seed, "train", self.epoch, task, Purpose.CONTRAST)
        with forked(torch_seed(self.seed, "train", self.epoch, task, Purpose.LAYERS), self.device):
            self.last = episode_loss(self.network, self.experiment, support, query, contrast)
        self.totals.append(torch.stack([value.detach() for value in self.last]))
        return self.last.loss

    def validation_step(self, _: int) -> None:
        """Evaluate the validation tasks and write the epoch's row."""
        scores = evaluate_phase(
            self.network,
            self.experiment,
            self.data.store,
            self.data.views,
            self.data.splits.validation,
            "validation",
            seed=self.seed,
            tasks=self.experiment.validation_tasks,
        )
        totals = torch.stack(self.totals)
        if not totals[:, 0].isfinite().all():
            task = int((~totals[:, 0].isfinite()).nonzero()[0])
            raise FewShotError(f"training diverged: the loss of epoch {self.epoch + 1}, task {task} is not finite")
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

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on and that is not frozen; loads with ``weights_only=True``."""
        frozen = {name for name, parameter in self.network.named_parameters() if not parameter.requires_grad}
        return {
            "network": {name: value for name, value in self.network.state_dict().items() if name not in frozen},
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where ``state`` was taken."""
        self.network.load_state_dict(self.network.state_dict() | state["network"])
        self._optimizer_state = state["optimizer"]
        self.history = list(state["history"])
        self.first_epoch = len(self.history)

    def _views(self, segments: Indices, views: int, generator: torch.Generator) -> Tensor:
        """Shape: segments (way, items) -> (way, items, views, mels, frames)."""
        flat = segments.ravel()
        raw = torch.from_numpy(self.data.store.gather(flat)).to(self.device, non_blocking=True)
        if views == 1:
            made = self.data.views.plain(self.network, raw)
        else:
            draw = self.data.views.draw(len(flat), self.data.store.shape, generator)
            made = self.data.views.views(self.network, raw, draw)
        return made.view(*segments.shape, *made.shape[1:])


class Journal(Callback):
    """After each epoch: best weights, metrics and the training state, each written atomically, in this order.

    The state comes last: a run killed in between repeats the epoch and writes the same best weights again.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        self._epoch_began = self._reported = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report the loss and accuracy of the last episode, a few times a second."""
        assert isinstance(pl_module, EpisodicTraining)
        now = time.perf_counter()
        if now - self._reported < REPORT_SECONDS or pl_module.last is None:
            return
        self._reported = now
        tasks = pl_module.experiment.n_training_tasks
        history = pl_module.history
        best = f" best validation {max(row['val_accuracy'] for row in history):.3f}" if history else ""
        self.progress(
            "training",
            pl_module.epoch * tasks + batch_idx + 1,
            pl_module.experiment.num_epochs * tasks,
            f"epoch {pl_module.epoch + 1} loss {pl_module.last.loss.item():.3f} "
            f"accuracy {pl_module.last.accuracy.item():.2f}{best}",
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch down; stop when training is over."""
        assert isinstance(pl_module, EpisodicTraining)
        history = pl_module.history
        history[-1]["seconds"] = round(time.perf_counter() - self._epoch_began, 3)
        if trainer.is_global_zero:
            if best_epoch(history) == len(history):
                save_tensors(self.folder / MODEL_FILE, pl_module.network.state_dict())
            write_text(self.folder / METRICS_FILE, metrics_csv(history))
            save_tensors(self.folder / STATE_FILE, pl_module.state())
        logger.info("epoch %(epoch)d: loss %(train_loss).4f, validation %(val_accuracy).4f", history[-1])
        trainer.should_stop = finished(pl_module.experiment, history)


def train_run(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    data: TrainingData,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> list[Row]:
    """Train a run in ``folder``, going on from its last finished epoch; returns one row of metrics per epoch.

    On return the network holds the weights of the best validation accuracy, which also lie in ``model.pt``.
    Raises Interrupted on Ctrl-C.
    """
    module = EpisodicTraining(network, experiment, data, seed)
    if (folder / STATE_FILE).exists():
        module.restore(load_tensors(folder / STATE_FILE))
    if not finished(experiment, module.history):
        _fit(module, folder, progress)
    network.load_state_dict(load_tensors(folder / MODEL_FILE))
    return module.history


def _fit(module: EpisodicTraining, folder: Path, progress: Progress) -> None:
    device = module.network.norm_mean.device
    try:
        with _quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=[device.index] if device.type == "cuda" else 1,
                max_epochs=module.experiment.num_epochs - module.first_epoch,
                logger=TensorBoardLogger(folder, name="", version="tensorboard"),
                callbacks=[Journal(folder, progress)],
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says to everybody: its advertisements and advice that does not apply here."""
    chatter = logging.getLogger("lightning.pytorch")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers")  # a batch is a number
            warnings.filterwarnings("ignore", message=".*GPU available but not used")  # the config says where
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")  # what is frozen
            warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\)")
            yield
    finally:
        chatter.setLevel(level)
