"""Tests of a trained run: its network, the same network untrained, or a baseline, on the test tasks of any config."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.engine.baselines import BASELINES
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network, evaluate_system
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.system import NetworkSystem, fit_transform
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.frozen_encoders import set_scales, with_embeddings, with_encoders
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.statistics import TaskSummary, summarize_tasks
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.device import start_runtime

logger = logging.getLogger(__name__)

SYSTEMS = ("network", "untrained", *BASELINES)  # what evaluate_run can test
ON_EMBEDDINGS = ("simpleshot", "linear-probe")  # classifiers on a network's embeddings


@dataclass(frozen=True)
class Evaluation(TaskSummary):
    """A test, and the name of the dataset that it was made on."""

    dataset: str


class PreparedTest(NamedTuple):
    """A run's network on an opened dataset, in fp32 on its device, and the test tasks."""

    dataset: Dataset
    system: NetworkSystem
    protocol: TaskProtocol


def evaluate_run(
    run: Run,
    data_root: Path,
    experiment: ExperimentConfig,
    *,
    system: str = "network",
    fresh_views: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Test a run's network, or a baseline.

    Args:
        run: a trained run.
        data_root: folder of the dataset folders.
        experiment: says which test tasks: the run's own config, or one with another dataset or other episodes.
        system: "network", "untrained" (the weights that the run started from) or a baseline of ``engine.baselines``.
        fresh_views: draw a network's test-time views anew for every task instead of from a pool.
        progress: called after every batch.

    Returns:
        The accuracy with its interval, and the dataset's name.

    Raises:
        ConfigError: there is no such system, or the network cannot be tested so.
        DataError: the dataset does not fit the run.
    """
    if system not in SYSTEMS:
        raise ConfigError(f"system {system!r}: expected one of {', '.join(SYSTEMS)}")
    if run.experiment.algorithm.adapts and system in ON_EMBEDDINGS:
        raise ConfigError(
            f"{run.folder}: algorithm.name is {run.experiment.algorithm.name!r}: its network is adapted to each task "
            f"and has no embeddings for {system}"
        )
    test = open_test(run, data_root, experiment, untrained=system == "untrained", progress=progress)
    scores = (
        score_baseline(system, test, progress)
        if system in BASELINES
        else evaluate_network(test.system, test.protocol, fresh_views=fresh_views, progress=progress)
    )
    return Evaluation(**asdict(summarize_test(scores, experiment)), dataset=test.dataset.folders.name)


def open_test(
    run: Run,
    data_root: Path,
    experiment: ExperimentConfig,
    *,
    untrained: bool = False,
    kept_embeddings: bool = True,
    progress: Progress = silent,
) -> PreparedTest:
    """Open the dataset of ``experiment`` and read the run's network.

    Args:
        run: a trained run.
        data_root: folder of the dataset folders.
        experiment: says which dataset, which test tasks and which device.
        untrained: take the weights that the run started from.
        kept_embeddings: whether a network on frozen encoders is tested on their kept embeddings of the dataset; if not,
            on its waveforms, which are embedded when they are asked for.
        progress: called while segments are packed.

    Raises:
        ConfigError: a frozen encoder is needed that is not installed, or the network has a score for each of another
            number of classes.
        DataError: the dataset does not fit the run.
    """
    algorithm, outputs = run.experiment.algorithm, run.model.out_dim(run.experiment.encoder_name)
    if algorithm.adapts and experiment.n_way_test != outputs:
        raise ConfigError(
            f"{run.folder}: algorithm.name is {algorithm.name!r}: its network scores {outputs} classes, but a task has "
            f"{experiment.n_way_test}"
        )
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
    if kept_embeddings:
        dataset = with_embeddings(dataset, experiment, run.model, progress)
    else:
        dataset = with_encoders(dataset, experiment, run.model)
    network = run.untrained_network() if untrained else run.trained_network()
    network.to(torch.device(runtime.device)).set_precision("fp32")
    if untrained:
        set_scales(network, dataset)
        fit_transform(NetworkSystem.validation(network, experiment, dataset.data, run.seed))
    system = NetworkSystem.test(network.eval(), experiment, dataset.data)
    return PreparedTest(dataset, system, TaskProtocol.test(experiment))


def run_test(
    network: FewShotNetwork, experiment: ExperimentConfig, data: TrainingData, progress: Progress = silent
) -> TaskScores:
    """Test a network on the experiment's test tasks, on its device, in fp32 even if it was trained in bf16."""
    network.set_precision("fp32")
    system = NetworkSystem.test(network, experiment, data)
    return evaluate_network(system, TaskProtocol.test(experiment), progress=progress)


def summarize_test(scores: TaskScores, experiment: ExperimentConfig) -> TaskSummary:
    """The section "test" of ``results.json``."""
    return summarize_tasks(scores.accuracy, experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test)


def score_baseline(name: str, test: PreparedTest, progress: Progress = silent) -> TaskScores:
    """Test a baseline of ``engine.baselines`` on the same tasks as the network."""
    index, splits = test.system.data.store.index, test.system.data.splits
    clips = np.concatenate([index.by_class[class_name] for class_name in splits.train])
    training = np.sort(index.offsets[clips])  # the first segment of each clip
    tasks = plan_tasks(index, splits.test, test.protocol)
    return evaluate_system(BASELINES[name](test.system, training), tasks, progress=progress)
