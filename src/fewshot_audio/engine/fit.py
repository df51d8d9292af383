"""Training of a run in its folder by Lightning, on one device or several, resumed from the state in the folder."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.strategies import DDPStrategy

from fewshot_audio.engine.checkpoint import EpochCheckpoint
from fewshot_audio.engine.history import STATE_FILE, AfterEpoch, Row, read_state, read_weights
from fewshot_audio.engine.loggers import LoggerName, build_logger
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.errors import DataError, Interrupted
from fewshot_audio.files import explained_writes
from fewshot_audio.models.huggingface import PretrainedEncoder
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.distributed import TIMEOUT, local_devices
from fewshot_audio.runtime.silence import quiet_libraries


def train_run(
    module: EpisodicTraining,
    folder: Path,
    progress: Progress = silent,
    *,
    after_epoch: AfterEpoch | None = None,
    logger: LoggerName = "tensorboard",
) -> list[Row]:
    """Train a run, or continue it after its last finished epoch.

    On return the network is on its device again. On rank zero it holds the weights of the best validation accuracy,
    which are also in ``model.pt``; those of the last epoch if ``optimization.keep`` is "last" or the splits have no
    validation classes.

    Args:
        module: a new training.
        folder: weights, metrics and state are written here after every epoch; only rank zero reads and writes it.
        progress: called a few times a second.
        after_epoch: called after every epoch.
        logger: where the curves are logged too; no number is read back from there.

    Returns:
        One row of metrics per epoch.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        Diverged: a loss is not finite.
        DataError: the weights or the state in the folder are damaged.
        WriteError: the disk is full; the last finished epoch is kept.
    """
    ranks, device = module.ranks, module.network.norm_mean.device
    state = ranks.on_rank_zero(lambda: read_state(folder))
    if state is not None:
        try:
            module.restore(state)
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{folder / STATE_FILE}: does not fit the run's configs ({error})") from error
    if not module.is_finished:
        _fit(module, folder, progress, after_epoch, logger)
    module.network.to(device)  # Lightning leaves it on the CPU
    if ranks.is_rank_zero:
        module.network.load_state_dict(read_weights(folder))
    return module.history


def _fit(
    module: EpisodicTraining, folder: Path, progress: Progress, after_epoch: AfterEpoch | None, logger: LoggerName
) -> None:
    device, ranks = module.network.norm_mean.device, module.ranks
    first_gpu = (device.index or 0) - ranks.local_rank
    try:
        with quiet_libraries(), _explained_log_errors(folder / logger):
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
                logger=build_logger(logger, folder),
                callbacks=[EpochCheckpoint(module, folder, progress, after_epoch)],
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
def _explained_log_errors(log: Path) -> Iterator[None]:
    """Turn errors of TensorBoard's files into WriteError; its thread, which writes them, would print a traceback."""
    former = threading.excepthook

    def report(arguments: Any) -> None:
        if not issubclass(arguments.exc_type, OSError):  # the thread that logs finds those in the writer
            former(arguments)

    threading.excepthook = report
    try:
        with explained_writes(log):
            yield
    finally:
        threading.excepthook = former


def _data_parallel(network: FewShotNetwork) -> DDPStrategy:
    """Data-parallel training. Each rank has its own buffers; a fine-tuned encoder may skip layers in an episode."""
    return DDPStrategy(
        broadcast_buffers=False,
        timeout=TIMEOUT,
        find_unused_parameters=isinstance(network.encoder, PretrainedEncoder) and not network.encoder.frozen,
    )
