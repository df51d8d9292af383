"""The callback of training: reports progress, and writes weights, metrics and state after every epoch."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from fewshot_audio.engine.history import METRICS_FILE, STATE_FILE, WEIGHTS_FILE, AfterEpoch, kept_epoch, write_metrics
from fewshot_audio.progress import Progress
from fewshot_audio.runtime.tensor_file import save_tensors

if TYPE_CHECKING:
    from fewshot_audio.engine.module import EpisodicTraining

logger = logging.getLogger(__name__)

REPORT_SECONDS = 0.25


class EpochCheckpoint(Callback):
    """Writes the weights (if they are to be kept), the metrics and the training state after each epoch, in this order.

    Each write is atomic. A run that is killed before the last one repeats the epoch and writes the same files again.
    """

    def __init__(
        self, module: "EpisodicTraining", folder: Path, progress: Progress, after_epoch: AfterEpoch | None
    ) -> None:
        self.module = module
        self.folder = folder
        self.progress = progress
        self.after_epoch = after_epoch
        self._epoch_began = self._reported = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report the loss and accuracy of the last episode, a few times a second."""
        module, now = self.module, time.perf_counter()
        if not module.ranks.is_rank_zero or now - self._reported < REPORT_SECONDS or module.last_result is None:
            return
        self._reported = now
        tasks = module.experiment.n_training_tasks
        history = module.history
        accuracies = [row["val_accuracy"] for row in history if "val_accuracy" in row]
        best = f" best validation {max(accuracies):.3f}" if accuracies else ""
        self.progress(
            "training",
            module.epoch * tasks + (batch_idx + 1) * module.ranks.size,
            module.experiment.num_epochs * tasks,
            f"epoch {module.epoch + 1} loss {module.last_result.loss.item():.3f} "
            f"accuracy {module.last_result.accuracy.item():.2f}{best}",
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's files; stop if training is finished."""
        module, history = self.module, self.module.history
        history[-1]["seconds"] = round(time.perf_counter() - self._epoch_began, 3)
        if module.ranks.is_rank_zero:
            if kept_epoch(history, module.experiment.optimization.keep) == len(history):
                save_tensors(self.folder / WEIGHTS_FILE, module.epoch_weights)
            write_metrics(self.folder / METRICS_FILE, history)
            save_tensors(self.folder / STATE_FILE, module.state())
        validation = f", validation {history[-1]['val_accuracy']:.4f}" if "val_accuracy" in history[-1] else ""
        logger.info("epoch %d: loss %.4f%s", len(history), history[-1]["train_loss"], validation)
        trainer.should_stop = module.is_finished
        if self.after_epoch:
            self.after_epoch(history)
