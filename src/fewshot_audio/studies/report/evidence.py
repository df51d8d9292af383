"""The numbers and examples that a report shows, computed from an experiment's folder and its dataset."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.engine.evaluate import Answers, TaskScores, evaluate_network, evaluate_system
from fewshot_audio.engine.history import Row
from fewshot_audio.engine.system import CachedSystem, System
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.evaluate_run import open_test
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.results import (
    RESULTS_FILE,
    ExperimentResults,
    read_experiment_results,
    read_run_metrics,
    read_run_result,
)
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.stress import StressPoint, read_stress
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.adaptation import task_statistics
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.report.examples import Example, pick_examples

Floats = NDArray[np.float64]
SHOTS = (1, 2, 3, 5, 10, 20)
SHOT_TASKS = 500


@dataclass(frozen=True)
class Evidence:
    """An experiment's results, and every answer of its first finished run to the test tasks.

    Attributes:
        name: name of the experiment's folder.
        results: those in ``results.json``.
        metrics: the epochs of every finished run, by "run <number>".
        kept_epochs: the epoch (from 1) whose weights were tested, likewise.
        accuracies: test accuracies, (runs, tasks).
        classes: the test classes.
        query_counts: (classes, classes): queries of the row's class in tasks that contain the column's class.
        confusion_counts: (classes, classes): queries of the row's class that were answered with the column's class.
        probability: the probability of every answer, (queries,).
        correct: whether the answer is correct, (queries,).
        shots: number of shots, accuracy and half width of its 95 % interval.
        points: embeddings of the test clips on their first two principal components, (clips, 2).
        labels: index of each point's class, (clips,).
        explained_variance: the share of the variance along each component, (2,).
        examples: queries to look at and to listen to.
        sample_rate: of the examples' waveforms.
        dataset: fingerprint of the dataset.
        stress: results of the stress tests of the first finished run, if there were any.
    """

    name: str
    results: ExperimentResults
    metrics: dict[str, list[Row]]
    kept_epochs: dict[str, int]
    accuracies: Floats
    classes: tuple[str, ...]
    query_counts: NDArray[np.int64]
    confusion_counts: NDArray[np.int64]
    probability: Floats
    correct: NDArray[np.bool_]
    shots: list[tuple[int, float, float]]
    points: Floats
    labels: NDArray[np.int64]
    explained_variance: Floats
    examples: list[Example]
    sample_rate: int
    dataset: str
    stress: list[StressPoint]

    @property
    def test_tasks(self) -> tuple[str, TaskProtocol]:
        """What the test tasks were drawn from and how: equal for experiments with the same tasks."""
        return self.dataset, replace(TaskProtocol.test(self.results.experiment), whole_clips=False, tie_strategy="")


def collect_evidence(folder: Path, data_root: Path | None, progress: Progress = silent) -> Evidence:
    """Read an experiment's folder and test its first finished run once more to collect every answer.

    Args:
        folder: the folder of a finished experiment.
        data_root: the folder of the dataset folders; None: that of the experiment's config, then ``data``.
        progress: called during the test.

    Raises:
        DataError: a file is missing or damaged, or the dataset does not fit the run.
        ConfigError: a config of the run is wrong.
    """
    if not (folder / RESULTS_FILE).is_file():
        raise DataError(f"{folder}: no {RESULTS_FILE} there; give the folder of a finished experiment")
    results = read_experiment_results(folder)
    runs = ExperimentFolder(folder)
    numbers = [number for number in range(1, results.experiment.num_runs + 1) if runs.done(number)]
    if not numbers:
        raise DataError(f"{folder}: no folder of a finished run in it")
    finished = {number: read_run_result(runs.run(number)) for number in numbers}
    run = Run.read(runs.run(numbers[0]))
    root = data_root or Path(run.experiment.data_root or "data")
    dataset, network_system, protocol = open_test(run, root, run.experiment, progress=progress)
    system, classes = CachedSystem(network_system), dataset.data.splits.test

    adaptation = network_system.network.adaptation

    def test(protocol: TaskProtocol) -> TaskScores:
        if adaptation is not None:
            return evaluate_network(network_system, protocol, progress=progress)
        return evaluate_system(system, plan_tasks(dataset.data.store.index, classes, protocol), progress=progress)

    answers = test(protocol).answers
    query_counts, confusion_counts = _count_confusions(answers, len(classes))
    shots = _accuracy_over_shots(test, dataset, replace(protocol, n_tasks=min(SHOT_TASKS, protocol.n_tasks)))
    statistics = task_statistics(network_system.network.encoder) if adaptation is not None else nullcontext()
    with statistics:  # such a network is shown as it is before it is adapted
        points, labels, explained_variance = _embedding_points(system, dataset, progress)
    return Evidence(
        name=folder.name,
        results=results,
        metrics={f"run {number}": read_run_metrics(runs.run(number), one.result) for number, one in finished.items()},
        kept_epochs={f"run {number}": one.result.kept_epoch for number, one in finished.items()},
        accuracies=np.stack([one.accuracies for one in finished.values()]),
        classes=classes,
        query_counts=query_counts,
        confusion_counts=confusion_counts,
        probability=answers.probability.ravel().astype(np.float64),
        correct=(answers.answer == answers.truth).ravel(),
        shots=shots,
        points=points,
        labels=labels,
        explained_variance=explained_variance,
        examples=pick_examples(answers, dataset),
        sample_rate=(dataset.preprocessing or Preprocessing()).sample_rate,
        dataset=run.dataset,
        stress=read_stress(run.folder),
    )


def _count_confusions(answers: Answers, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``query_counts`` and ``confusion_counts`` of the evidence."""
    query_counts, confusion_counts = np.zeros((2, classes, classes), np.int64)
    np.add.at(confusion_counts, (answers.truth.ravel(), answers.answer.ravel()), 1)
    tasks, way, n_query = answers.truth.shape
    pairs = np.broadcast_to(answers.truth[:, :, :1], (tasks, way, way))  # each task's classes against each other
    np.add.at(query_counts, (pairs.ravel(), pairs.transpose(0, 2, 1).ravel()), n_query)
    return query_counts, confusion_counts


def _accuracy_over_shots(
    test: Callable[[TaskProtocol], TaskScores], dataset: Dataset, protocol: TaskProtocol
) -> list[tuple[int, float, float]]:
    """Test with every number of shots that the smallest test class allows."""
    by_class = dataset.data.store.index.by_class
    fewest = min(len(by_class[name]) for name in dataset.data.splits.test)
    points = []
    for shot in SHOTS:
        if shot + protocol.n_query > fewest:
            break
        accuracy = test(replace(protocol, n_shot=shot)).accuracy
        points.append((shot, float(accuracy.mean()), ci95(accuracy)))
    return points


def _embedding_points(system: System, dataset: Dataset, progress: Progress) -> tuple[Floats, NDArray[np.int64], Floats]:
    """``points``, ``labels`` and ``explained_variance`` of the evidence: of the first segment of every test clip."""
    store = dataset.data.store
    label_of = {  # by segment
        int(store.index.offsets[clip]): label
        for label, name in enumerate(dataset.data.splits.test)
        for clip in store.index.by_class[name]
    }
    segments = np.array(sorted(label_of), np.int64)
    with torch.no_grad():
        rows = system.embed(segments, progress).rows[:, 0]
    embeddings = rows.mean(1).double().cpu().numpy()
    components = PrincipalComponents.fit(embeddings)
    labels = np.array([label_of[int(segment)] for segment in segments])
    return components.project(embeddings), labels, np.array(components.explained)
