"""An experiment: checks before any work, then its runs, each trained and tested once, and their results."""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, check_configs, check_steps
from fewshot_audio.engine.history import Row, kept_epoch
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.evaluate_run import run_test, summarize_test
from fewshot_audio.experiments.folder import ACCURACIES_FILE, RESULT_FILE, ExperimentFolder
from fewshot_audio.experiments.start_run import start_run
from fewshot_audio.files import write_bytes, write_json
from fewshot_audio.models.huggingface_files import complete_model
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.runtime.device import Runtime, resolve_device
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
) -> dict[str, Any]:
    """Train and test the runs of an experiment. Everything that can be refused is refused before any work.

    Args:
        experiment: the experiment config.
        model: the model config.
        data_root: folder of the dataset folders.
        output_root: folder of the experiment folders.
        resume: keep finished epochs and runs and do the rest, which ends bit-equal to an experiment that was never
            interrupted (on the CPU).
        overwrite: delete former results.
        runs: numbers (from 1) of the runs to do; None does all.
        ranks: the processes that train each run together; all call this function alike, and rank zero alone writes
            and tests.
        progress: told of every step.

    Returns:
        What ``results.json`` holds.

    Raises:
        ConfigError: the configs contradict each other, the data or the folder.
        DataError: the dataset folder is wrong.
    """
    folder = ExperimentFolder(output_root / experiment.experiment_folder)
    numbers = range(1, experiment.num_runs + 1)
    selection = numbers if runs is None else runs

    def check() -> ModelConfig:
        for warning in check_configs(experiment, model):
            logger.warning(warning)
        complete = complete_model(experiment.encoder_name, model)
        check_steps(experiment, ranks.size)
        if not set(selection) <= set(numbers):
            raise ConfigError(f"runs are numbered from 1 to num_runs, which is {experiment.num_runs}: got {selection}")
        folder.check(experiment, complete, resume=resume, overwrite=overwrite)
        resolve_device(experiment.device, experiment.gpu_index)  # refuses a missing GPU; each run sets itself up
        return complete

    model = ranks.on_rank_zero(check)
    dataset = ranks.on_all_ranks(
        lambda: open_dataset(data_root, experiment, progress if ranks.is_rank_zero else silent)
    )
    ranks.on_all_ranks(lambda: dataset.check_input(experiment, model))
    if overwrite:
        ranks.on_rank_zero(folder.delete)

    summary: dict[str, Any] = {}
    for number in selection:
        report = prefixed(progress, f"run {number}/{experiment.num_runs}: ")
        if not ranks.on_rank_zero(partial(folder.done, number)):
            with _locked(folder, number, ranks):
                seed = experiment.seed + number - 1
                _do_run(folder.run(number), experiment, model, seed, dataset, ranks, report)
        summary = ranks.on_rank_zero(partial(folder.summarize, experiment, model, dataset.folders.name))
    return summary


@contextmanager
def _locked(folder: ExperimentFolder, number: int, ranks: Ranks) -> Iterator[None]:
    """Have rank zero keep other processes off a run."""
    with ExitStack() as locks:

        def lock() -> None:
            locks.enter_context(folder.working_on(number))

        ranks.on_rank_zero(lock)
        yield


def _do_run(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    seed: int,
    dataset: Dataset,
    ranks: Ranks,
    progress: Progress,
) -> None:
    from fewshot_audio.engine.fit import train_run  # Lightning takes seconds to import: testing does without

    network, runtime = start_run(folder, experiment, model, seed, dataset, ranks)
    history = train_run(network, experiment, dataset.data, seed, folder, progress, ranks)
    ranks.on_rank_zero(lambda: _finish(folder, network, experiment, seed, dataset, runtime, history, progress))


def _finish(
    folder: Path,
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    seed: int,
    dataset: Dataset,
    runtime: Runtime,
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
    network.to(runtime.device)  # Lightning leaves it on the CPU
    scores = run_test(network, experiment, dataset, progress)
    buffer = io.BytesIO()
    np.save(buffer, scores.accuracy)
    write_bytes(folder / ACCURACIES_FILE, buffer.getvalue())
    best_epoch = kept_epoch(history, experiment.optimization.keep)
    result = {
        "seed": seed,
        "best_epoch": best_epoch,
        "epochs": len(history),
        "val_accuracy": history[best_epoch - 1]["val_accuracy"],
        "test": summarize_test(scores, experiment),
        "seconds": round(sum(row["seconds"] for row in history) + time.perf_counter() - start, 1),
    }
    write_json(folder / RESULT_FILE, result)  # comes last: it marks the run as done
