"""Testing a trained run: its network, the same untrained, or a baseline, on any tasks that the dataset offers."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.engine.baselines import BASELINES
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network, evaluate_system
from fewshot_audio.engine.system import NetworkSystem, center_embeddings
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.statistics import summarize_tasks
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.device import start_runtime

logger = logging.getLogger(__name__)

SYSTEMS = ("network", "untrained", *BASELINES)  # what evaluate_run can test


def evaluate_run(
    run: Run,
    data_root: Path,
    experiment: ExperimentConfig,
    *,
    system: str = "network",
    fresh_views: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Test a run as ``examine_run`` does, and summarize.

    Returns:
        What ``test`` holds in ``results.json``, and the dataset's name.
    """
    dataset, scores = examine_run(run, data_root, experiment, system=system, fresh_views=fresh_views, progress=progress)
    return {**summarize_test(scores, experiment), "dataset": dataset.folders.name}


def examine_run(
    run: Run,
    data_root: Path,
    experiment: ExperimentConfig,
    *,
    system: str = "network",
    fresh_views: bool = False,
    progress: Progress = silent,
) -> tuple[Dataset, TaskScores]:
    """Test a run's network, or a baseline, and return every answer.

    Args:
        run: a trained run.
        data_root: folder of the dataset folders.
        experiment: says which test tasks: the run's own config, or one with another dataset or other episodes.
        system: "network", "untrained" (the weights that the run started from) or a baseline of ``engine.baselines``.
        fresh_views: draw a network's test-time views anew for every task instead of from a pool.
        progress: told of every batch.

    Raises:
        ConfigError: there is no such system.
        DataError: the dataset does not fit the run.
    """
    if system not in SYSTEMS:
        raise ConfigError(f"system {system!r}: expected one of {', '.join(SYSTEMS)}")
    dataset, network = open_test(run, data_root, experiment, untrained=system == "untrained", progress=progress)
    if system in BASELINES:
        return dataset, _test_baseline(system, network, experiment, dataset, progress)
    return dataset, run_test(network, experiment, dataset, progress, fresh_views=fresh_views)


def open_test(
    run: Run, data_root: Path, experiment: ExperimentConfig, *, untrained: bool = False, progress: Progress = silent
) -> tuple[Dataset, FewShotNetwork]:
    """Open the dataset of ``experiment`` and the run's network, in fp32 on its device.

    Raises:
        DataError: the dataset does not fit the run.
    """
    runtime = start_runtime(experiment.device, experiment.gpu_index, experiment.precision)
    dataset = open_dataset(data_root, experiment, progress, phases=("test",))
    if run.preprocessing and dataset.preprocessing and run.preprocessing != dataset.preprocessing:
        raise DataError(
            f"{dataset.folders}: the preprocessing differs from what the run was trained with: "
            f"{dataset.preprocessing} instead of {run.preprocessing}"
        )
    if dataset.input_shape != run.input_shape:
        raise DataError(
            f"{dataset.folders} has segments of {dataset.input_shape}, but the run was trained on {run.input_shape}"
        )
    if dataset.fingerprint != run.dataset and experiment.dataset_name.lower() == run.experiment.dataset_name.lower():
        logger.warning("%s has changed since the run was trained on it: are its test classes new?", dataset.folders)
    network = run.untrained_network() if untrained else run.trained_network()
    network.to(torch.device(runtime.device)).set_precision("fp32")
    if untrained:
        network.set_normalization(dataset.mean, dataset.std)
        center_embeddings(NetworkSystem.validation(network, experiment, dataset.data, run.seed))
    return dataset, network


def run_test(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    dataset: Dataset,
    progress: Progress = silent,
    *,
    fresh_views: bool = False,
) -> TaskScores:
    """Test a network on the experiment's test tasks, on its device, in fp32 whatever training used."""
    network.set_precision("fp32")
    system, protocol = NetworkSystem.test(network, experiment, dataset.data), TaskProtocol.test(experiment)
    return evaluate_network(system, protocol, fresh_views=fresh_views, progress=progress)


def summarize_test(scores: TaskScores, experiment: ExperimentConfig) -> dict[str, Any]:
    """What ``results.json`` says of a test."""
    return summarize_tasks(scores.accuracy, experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test)


def _test_baseline(
    system: str, network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset, progress: Progress
) -> TaskScores:
    data = dataset.data
    by_class, offsets = data.store.index.by_class, data.store.index.offsets
    training = np.sort(offsets[np.concatenate([by_class[name] for name in data.splits.train])])  # first segments
    tested = NetworkSystem.test(network.eval(), experiment, data)
    planned = plan_tasks(data.store.index, data.splits.test, TaskProtocol.test(experiment))
    return evaluate_system(BASELINES[system](tested, training), planned, progress=progress)
