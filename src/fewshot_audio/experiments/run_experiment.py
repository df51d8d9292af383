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
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.evaluate_run import run_test, summarize_test
from fewshot_audio.experiments.folder import ACCURACIES_FILE, RESULT_FILE, ExperimentFolder
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.files import write_bytes, write_json
from fewshot_audio.models.huggingface import with_definition
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.device import Runtime, resolve_device, start_runtime
from fewshot_audio.runtime.distributed import ALONE, Ranks

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
    ranks: Ranks = ALONE,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and test all runs, or those numbered in ``runs`` (from 1), and return what ``results.json`` holds.

    Everything that can be refused is refused before any work. With ``resume`` finished epochs and runs are kept and
    the rest is done, ending bit-equal to an experiment that was never interrupted (on the CPU). ``ranks`` train each
    run together; all call this function alike, and rank zero alone writes and tests.
    """
    folder = ExperimentFolder(output_root / experiment.experiment_folder)
    chosen = range(1, experiment.num_runs + 1) if runs is None else runs

    def check() -> ModelConfig:
        for warning in check_configs(experiment, model):
            logger.warning(warning)
        complete = with_definition(experiment, model)
        check_steps(experiment, ranks.size)
        if not set(chosen) <= set(range(1, experiment.num_runs + 1)):
            raise ConfigError(f"runs are numbered from 1 to num_runs, which is {experiment.num_runs}: got {chosen}")
        folder.check(experiment, complete, resume=resume, overwrite=overwrite)
        resolve_device(experiment.device, experiment.gpu_index)  # refuses a missing GPU; each run sets itself up
        return complete

    model = ranks.decide(check)
    dataset = ranks.together(lambda: open_dataset(data_root, experiment, progress if ranks.leads else silent))
    ranks.together(lambda: dataset.check_input(experiment, model))
    if overwrite:
        ranks.decide(folder.delete)

    summary: dict[str, Any] = {}
    for number in chosen:

        def report(description: str, done: int, total: int, details: str = "", number: int = number) -> None:
            progress(f"run {number}/{experiment.num_runs}: {description}", done, total, details)

        if not ranks.decide(partial(folder.done, number)):
            with _locked(folder, number, ranks):
                seed = experiment.seed + number - 1
                _do_run(folder.run(number), experiment, model, seed, dataset, ranks, report)
        summary = ranks.decide(partial(folder.summarize, experiment, model, dataset.folders.name))
    return summary


@contextmanager
def _locked(folder: ExperimentFolder, number: int, ranks: Ranks) -> Iterator[None]:
    """Have rank zero keep other processes off a run."""
    with ExitStack() as held:

        def lock() -> None:
            held.enter_context(folder.working_on(number))

        ranks.decide(lock)
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
    from fewshot_audio.engine.train import train_run  # Lightning takes seconds to import: testing does without

    run = ranks.decide(lambda: _recorded(folder, dataset, ranks))
    runtime = ranks.together(lambda: start_runtime(ranks.placed(experiment), run.runtime if run else None))
    if run is None:
        shape, fingerprint = dataset.input_shape, dataset.fingerprint
        recorded = {**runtime.as_json(), "processes": ranks.size}
        run = Run(folder, experiment, model, seed, shape, fingerprint, dataset.preprocessing, recorded)
        ranks.decide(run.write)
    network = ranks.together(run.untrained_network)
    network.set_normalization(dataset.mean, dataset.std)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    history = train_run(network, experiment, dataset.data, seed, folder, progress, ranks)
    ranks.decide(lambda: _finish(folder, network, experiment, seed, dataset, runtime, history, progress))


def _recorded(folder: Path, dataset: Dataset, ranks: Ranks) -> Run | None:
    """The run as it was started, if it was. Raises where it cannot go on to the same end."""
    if not (folder / RUN_FILE).exists():
        return None
    run = Run.read(folder)
    if run.dataset != dataset.fingerprint:
        raise DataError(f"{dataset.folders} has changed since {folder} was started: it cannot be resumed")
    processes = run.runtime.get("processes", 1)
    if processes != ranks.size:
        raise ConfigError(
            f"{folder} was started with {processes} processes (devices x nodes), a step's episodes each; it cannot go "
            f"on with {ranks.size}"
        )
    return run


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
    without = sum(row["episodes_without_pairs"] for row in history)
    if without:
        logger.warning(
            "%d of %d training episodes had no mined triplet", without, len(history) * experiment.n_training_tasks
        )
    testing_began = time.perf_counter()
    network.to(runtime.device)  # Lightning leaves it on the CPU
    scores = run_test(network, experiment, dataset, progress)
    buffer = io.BytesIO()
    np.save(buffer, scores.accuracy)
    write_bytes(folder / ACCURACIES_FILE, buffer.getvalue())
    kept = kept_epoch(experiment, history)
    result = {
        "seed": seed,
        "best_epoch": kept,
        "epochs": len(history),
        "val_accuracy": history[kept - 1]["val_accuracy"],
        "test": summarize_test(scores, experiment),
        "seconds": round(sum(row["seconds"] for row in history) + time.perf_counter() - testing_began, 1),
    }
    write_json(folder / RESULT_FILE, result)  # comes last: it marks the run as done
