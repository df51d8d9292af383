"""The start of a run, or its continuation: the folder, the runtime, and the network ready to train."""

from pathlib import Path
from typing import Any, NamedTuple

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.frozen_encoders import set_scales
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.device import Runtime, start_runtime
from fewshot_audio.runtime.distributed import SINGLE_PROCESS, Ranks


class StartedRun(NamedTuple):
    """A run's network with its initial weights, on its device, and the runtime of the training."""

    network: FewShotNetwork
    runtime: Runtime


def start_run(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    seed: int,
    dataset: Dataset,
    ranks: Ranks = SINGLE_PROCESS,
) -> StartedRun:
    """Set up a run, or the same run again after an interruption.

    Args:
        folder: the run's folder. Rank zero writes the configs there if the run is new.
        experiment: the experiment config; that of the run if it was started before (``changed_settings``).
        model: the model config, complete (``complete_with_encoders``).
        seed: of the run.
        dataset: the dataset to train on.
        ranks: the processes that train together; all call this function with the same arguments.

    Raises:
        DataError: the dataset is not the one that the run was started with.
        ConfigError: the run was started with another number of processes, or on a device that is missing here.
    """
    recorded = ranks.on_rank_zero(lambda: _former_runtime(folder, dataset, ranks))
    gpu_index = ranks.own_gpu(experiment.gpu_index)
    runtime = ranks.on_all_ranks(lambda: start_runtime(experiment.device, gpu_index, experiment.precision, recorded))
    run = Run(
        folder=folder,
        experiment=experiment,
        model=model,
        seed=seed,
        input_shape=dataset.input_shape,
        dataset=dataset.fingerprint,
        preprocessing=dataset.preprocessing,
        runtime={**runtime.as_json(), "processes": ranks.size},
    )
    if recorded is None:
        ranks.on_rank_zero(run.write)
    network = ranks.on_all_ranks(run.untrained_network)
    set_scales(network, dataset)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    return StartedRun(network, runtime)


def _former_runtime(folder: Path, dataset: Dataset, ranks: Ranks) -> dict[str, Any] | None:
    """The runtime of the run that the folder holds; None if it holds none."""
    if not (folder / RUN_FILE).exists():
        return None
    run = Run.read(folder)
    if run.dataset != dataset.fingerprint:
        raise DataError(f"{dataset.folders} has changed since {folder} was started: it cannot be resumed")
    processes = run.runtime.get("processes", 1)
    if processes != ranks.size:
        raise ConfigError(
            f"{folder} was started with {processes} processes (devices x nodes), each with a step's episodes; it "
            f"cannot continue with {ranks.size}"
        )
    return run.runtime
