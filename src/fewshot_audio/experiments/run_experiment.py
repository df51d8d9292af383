"""An experiment from its configs to its results: checks before any work, then the training and test of each run."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, check_configs, check_steps, with_widths
from fewshot_audio.engine.contrastive_losses import build_contrastive_loss
from fewshot_audio.engine.history import Row, best_epoch, kept_epoch
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.loggers import LoggerName, check_logger
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.evaluate_run import run_test, summarize_test
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.frozen_encoders import complete_with_encoders, with_embeddings
from fewshot_audio.experiments.results import ACCURACIES_FILE, RUN_RESULT_FILE, ExperimentResults, RunResult
from fewshot_audio.experiments.start_run import start_run
from fewshot_audio.files import write_atomic, write_json
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.runtime.device import resolve_device
from fewshot_audio.runtime.distributed import SINGLE_PROCESS, Ranks

logger = logging.getLogger(__name__)


def run_experiment(
    experiment: ExperimentConfig,
    model: ModelConfig,
    data_root: Path,
    output_root: Path = Path("experiments"),
    *,
    resume: bool = False,
    overwrite: bool = False,
    runs: Sequence[int] | None = None,
    ranks: Ranks = SINGLE_PROCESS,
    progress: Progress = silent,
    logger_name: LoggerName = "tensorboard",
) -> ExperimentResults:
    """Train and test the runs of an experiment. All checks are made before any work.

    Args:
        experiment: the experiment config.
        model: the model config.
        data_root: folder of the dataset folders.
        output_root: folder of the experiment folders.
        resume: keep finished epochs and runs and do the rest. On the CPU the results are bit-equal to those of an
            experiment that was never interrupted.
        overwrite: delete former results.
        runs: numbers (from 1) of the runs to do; None does all.
        ranks: the processes that train each run together; all call this function with the same arguments, and rank
            zero alone writes and tests.
        progress: called after every step of the work.
        logger_name: where the curves of training are logged, beside ``metrics.csv``.

    Returns:
        The content of ``results.json``.

    Raises:
        ConfigError: the configs contradict each other, or do not fit the data or the folder.
        DataError: the dataset folder is wrong.
    """
    folder = ExperimentFolder(output_root / experiment.experiment_folder)
    numbers = range(1, experiment.num_runs + 1)
    selection = numbers if runs is None else runs

    def check() -> ModelConfig:
        check_logger(logger_name)
        for warning in check_configs(experiment, model):
            logger.warning(warning)
        build_contrastive_loss(experiment)  # raises if it cannot be
        complete = with_widths(experiment, complete_with_encoders(experiment, model))
        check_steps(experiment.n_training_tasks, experiment.episodes_per_step, ranks.size)
        if not selection or not set(selection) <= set(numbers):
            raise ConfigError(f"runs are numbered from 1 to num_runs, which is {experiment.num_runs}: got {selection}")
        folder.check(experiment, complete, resume=resume, overwrite=overwrite)
        resolve_device(experiment.device, experiment.gpu_index)  # raises if the GPU is missing
        return complete

    model = ranks.on_rank_zero(check)
    dataset = ranks.on_all_ranks(
        lambda: open_dataset(data_root, experiment, progress if ranks.is_rank_zero else silent)
    )
    ranks.on_all_ranks(lambda: dataset.check_input(experiment, model))
    dataset = ranks.on_all_ranks(
        lambda: with_embeddings(dataset, experiment, model, progress if ranks.is_rank_zero else silent)
    )
    if overwrite:
        ranks.on_rank_zero(folder.delete)

    for number in selection:
        report = prefixed(progress, f"run {number}/{experiment.num_runs}: ")
        if not ranks.on_rank_zero(partial(folder.done, number)):
            with ExitStack() as lock:
                ranks.on_rank_zero(partial(lock.enter_context, folder.working_on(number)))
                seed = experiment.seed + number - 1
                _do_run(folder.run(number), experiment, model, seed, dataset, ranks, report, logger_name)
        results = ranks.on_rank_zero(partial(folder.summarize, experiment, model, dataset.folders.name))
    return results


def _do_run(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    seed: int,
    dataset: Dataset,
    ranks: Ranks,
    progress: Progress,
    logger_name: LoggerName,
) -> None:
    # Lightning takes seconds to import, and testing does not need it.
    from fewshot_audio.engine.fit import train_run
    from fewshot_audio.engine.module import EpisodicTraining

    network = start_run(folder, experiment, model, seed, dataset, ranks).network
    training = EpisodicTraining(network, experiment, dataset.data, seed, ranks)
    history = train_run(training, folder, progress, logger=logger_name)
    ranks.on_rank_zero(lambda: _finish(folder, network, experiment, seed, dataset.data, history, progress))


def _finish(
    folder: Path,
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    seed: int,
    data: TrainingData,
    history: list[Row],
    progress: Progress,
) -> None:
    """Test a trained run and write its result."""
    episodes_without_pairs = sum(row["episodes_without_pairs"] for row in history)
    if episodes_without_pairs:
        logger.warning(
            "%d of %d training episodes had no mined triplet",
            episodes_without_pairs,
            len(history) * experiment.n_training_tasks,
        )
    start = time.perf_counter()
    scores = run_test(network, experiment, data, progress)
    write_atomic(folder / ACCURACIES_FILE, lambda stream: np.save(stream, scores.accuracy))
    kept = kept_epoch(history, experiment.optimization.keep)
    result = RunResult(
        seed=seed,
        best_epoch=best_epoch(history),
        kept_epoch=kept,
        epochs=len(history),
        val_accuracy=history[kept - 1]["val_accuracy"],
        test=summarize_test(scores, experiment),
        seconds=round(sum(row["seconds"] for row in history) + time.perf_counter() - start, 1),
    )
    write_json(folder / RUN_RESULT_FILE, asdict(result))  # comes last: it marks the run as done
