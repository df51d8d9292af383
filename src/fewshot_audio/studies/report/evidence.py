"""What a report shows, computed from an experiment's folder and its dataset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, read_json
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.checkpoint import METRICS_FILE
from fewshot_audio.engine.evaluate import Answers, NetworkSystem, Once, System, TaskScores, evaluate_system, plan_tasks
from fewshot_audio.engine.history import Row, read_metrics
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.evaluate_run import open_test
from fewshot_audio.experiments.folder import ACCURACIES_FILE, RESULT_FILE, RESULTS_FILE, ExperimentFolder
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.pca import Plane
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.progress import Progress, silent

Floats = NDArray[np.float64]
SHOTS = (1, 2, 3, 5, 10, 20)
SHOT_TASKS = 500
EXAMPLES = 6  # of right and of wrong answers each


@dataclass(frozen=True)
class Example:
    """One query of a test task: its class, the answer, the answer's probability, and what was heard.

    ``features`` (mels, frames) in dB; ``waveform`` (samples,) where the dataset folder keeps waveforms.
    """

    clip: str
    truth: str
    answer: str
    probability: float
    features: Floats
    waveform: NDArray[np.float32] | None


@dataclass(frozen=True)
class Evidence:
    """An experiment's results and a closer look at its first run's test.

    ``classes`` are the test classes; ``asked`` (classes, classes) counts queries of a row's class in whose task the
    column's class was, ``confused`` those that were answered so. ``shots`` holds (shot, accuracy, ci95).
    ``metrics`` holds the epochs and ``kept`` the epoch (from 1) whose weights were kept of every run that is done.
    ``points`` (clips, 2) are test clips on the principal components of their embeddings, with ``labels`` (clips,).
    """

    name: str
    results: dict[str, Any]
    metrics: dict[str, list[Row]]
    kept: dict[str, int]
    accuracies: Floats
    classes: tuple[str, ...]
    asked: NDArray[np.int64]
    confused: NDArray[np.int64]
    probability: Floats
    right: NDArray[np.bool_]
    shots: list[tuple[int, float, float]]
    points: Floats
    labels: NDArray[np.int64]
    explained: Floats
    examples: list[Example]
    sample_rate: int
    dataset: str

    @property
    def tested_on(self) -> tuple[Any, ...]:
        """Equal for experiments that met the same tasks."""
        config = ExperimentConfig.model_validate(self.results["config"]["experiment"])
        keys = ("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks", "test_seed", "disjoint_groups")
        return (self.dataset, *(getattr(config, key) for key in keys), config.joint_sampling)


def gather(folder: Path, data_root: Path, progress: Progress = silent) -> Evidence:
    """Read an experiment's folder and test its first run once more, looking at every answer.

    Raises DataError or ConfigError naming what is missing.
    """
    if not (folder / RESULTS_FILE).is_file():
        raise DataError(f"{folder}: no {RESULTS_FILE} there; give the folder of a finished experiment")
    results = read_json(folder / RESULTS_FILE)
    known = ExperimentFolder(folder)
    numbers = [number for number in range(1, results["config"]["experiment"]["num_runs"] + 1) if known.done(number)]
    if not numbers:
        raise DataError(f"{folder}: its run folders are not there")
    run = Run.read(folder / f"run-{numbers[0]}")
    experiment = run.experiment
    dataset, network = open_test(run, data_root, experiment, progress=progress)
    data, seed = dataset.data, experiment.test_seed
    system = Once(NetworkSystem(network.eval(), experiment, data.store, data.views, "test", seed))

    def test(changes: dict[str, Any]) -> TaskScores:
        tested = experiment.model_copy(update=changes)
        planned = plan_tasks(tested, data.store.index, data.splits.test, "test", seed, tested.n_testing_tasks)
        return evaluate_system(system, tested, planned, "test", seed=seed, progress=progress)

    answers = test({}).answers
    classes = data.splits.test
    asked, confused = _confusions(answers, len(classes))
    shots = _over_shots(test, experiment, dataset)
    points, labels, explained = _map(system, dataset, progress)
    return Evidence(
        name=folder.name,
        results=results,
        metrics={f"run {number}": read_metrics(folder / f"run-{number}" / METRICS_FILE) for number in numbers},
        kept={f"run {number}": read_json(known.run(number) / RESULT_FILE)["best_epoch"] for number in numbers},
        accuracies=np.stack([np.load(folder / f"run-{n}" / ACCURACIES_FILE, allow_pickle=False) for n in numbers]),
        classes=classes,
        asked=asked,
        confused=confused,
        probability=answers.probability.ravel().astype(np.float64),
        right=(answers.answer == answers.truth).ravel(),
        shots=shots,
        points=points,
        labels=labels,
        explained=explained,
        examples=_examples(answers, dataset),
        sample_rate=(dataset.preprocessing or Preprocessing()).sample_rate,
        dataset=run.dataset,
    )


def _confusions(answers: Answers, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    asked = np.zeros((classes, classes), np.int64)
    confused = np.zeros((classes, classes), np.int64)
    np.add.at(confused, (answers.truth.ravel(), answers.answer.ravel()), 1)
    tasks, way, n_query = answers.truth.shape
    pairs = np.broadcast_to(answers.truth[:, :, :1], (tasks, way, way))  # each task's classes against each other
    np.add.at(asked, (pairs.ravel(), pairs.transpose(0, 2, 1).ravel()), n_query)
    return asked, confused


def _over_shots(
    test: Callable[[dict[str, Any]], TaskScores], experiment: ExperimentConfig, dataset: Dataset
) -> list[tuple[int, float, float]]:
    by_class = dataset.data.store.index.by_class
    fewest = min(len(by_class[name]) for name in dataset.data.splits.test)
    tasks = min(SHOT_TASKS, experiment.n_testing_tasks)
    found = []
    for shot in SHOTS:
        if shot + experiment.n_query_test > fewest:
            break
        accuracy = test({"n_shot_test": shot, "n_testing_tasks": tasks}).accuracy
        found.append((shot, float(accuracy.mean()), ci95(accuracy)))
    return found


def _map(system: System, dataset: Dataset, progress: Progress) -> tuple[Floats, NDArray[np.int64], Floats]:
    """The first segment of every test clip on the two principal components of all."""
    store = dataset.data.store
    firsts = {
        int(store.index.offsets[clip]): label
        for label, name in enumerate(dataset.data.splits.test)
        for clip in store.index.by_class[name]
    }
    segments = np.array(sorted(firsts), np.int64)
    with torch.no_grad():
        rows = system.embed(segments, progress).rows[:, 0]
    embeddings = rows.mean(1).double().cpu().numpy()
    plane = Plane.fit(embeddings)
    labels = np.array([firsts[int(segment)] for segment in segments])
    return plane.place(embeddings), labels, np.array(plane.explained)


def _examples(answers: Answers, dataset: Dataset) -> list[Example]:
    """Right and wrong answers of the first tasks, no class twice among the right and no confusion among the wrong."""
    features = dataset.folders.open_store("features")
    waveforms = dataset.folders.open_store("waveforms") if dataset.folders.have_waveforms else None
    chosen: list[Example] = []
    for wrong in (False, True):
        seen: set[tuple[int, int]] = set()
        for index in zip(*np.nonzero((answers.answer != answers.truth) == wrong), strict=True):
            pair = int(answers.truth[index]), int(answers.answer[index])
            if pair in seen:
                continue
            seen.add(pair)
            chosen.append(_example(answers, index, dataset, features, waveforms))
            if len(seen) == EXAMPLES:
                break
    return chosen


def _example(
    answers: Answers,
    index: tuple[Any, ...],
    dataset: Dataset,
    features: SegmentStore,
    waveforms: SegmentStore | None,
) -> Example:
    names, clip = dataset.data.splits.test, int(answers.clip[index])
    truth = names[int(answers.truth[index])]
    return Example(
        clip=features.clips[clip],
        truth=truth,
        answer=names[int(answers.answer[index])],
        probability=float(answers.probability[index]),
        features=_first_segment(features, clip).astype(np.float64),
        waveform=_first_segment(waveforms, clip) if waveforms is not None else None,
    )


def _first_segment(store: SegmentStore, clip: int) -> NDArray[np.float32]:
    segment: NDArray[np.float32] = store.gather(np.array([store.index.offsets[clip]]))[0]
    return segment


def load_all(folders: Sequence[Path], data_root: Path, progress: Progress = silent) -> list[Evidence]:
    """Gather several experiments."""
    return [gather(folder, data_root, progress) for folder in folders]
