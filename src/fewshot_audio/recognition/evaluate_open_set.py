"""How well a run's network serves as a recognizer: accuracy, calibration and unknown sounds, on classes new to it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import ConfigError, plural
from fewshot_audio.functional.seeding import Purpose, numpy_generator
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.calibration import task_calibration_error
from fewshot_audio.recognition.from_run import open_pool, open_run
from fewshot_audio.recognition.open_set_tasks import TaskResult, mean_auroc, run_tasks


def evaluate_open_set(
    run_dir: Path,
    data_root: Path,
    *,
    dataset: str | None = None,
    classes: Literal["test", "all"] = "test",
    enrolled: int | None = None,
    unknown: int | None = None,
    shot: int | None = None,
    tasks: int = 200,
    false_alarm: float = 0.05,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Calibrate a run on its validation classes, then enroll other classes and compare the rest of their clips.

    Args:
        run_dir: the run's folder.
        data_root: folder of the dataset folders.
        dataset: the dataset folder to evaluate on; default the run's own.
        classes: which of its classes are drawn from: those of its test split, or "all".
        enrolled: classes that a task enrolls; default half of the classes, at most ``n_way_test``.
        unknown: further classes of a task, all of whose clips are unknown; default as many as are enrolled.
        shot: clips that are enrolled of a class; default ``n_shot_test``.
        tasks: number of tasks.
        false_alarm: share of clips of enrolled classes that may be called unknown, to calibrate by.
        device: "cpu", "cuda" or "auto".
        progress: reports the clips embedded and the tasks done.

    Returns:
        Accuracies and rates as fractions of 1: ``false_alarm`` is the share of clips of enrolled classes that were
        called unknown (``false_alarm_stated`` was asked for), ``unknown_found`` that of the unknown clips.

    Raises:
        DataError: the dataset does not fit the run.
        ConfigError: it has too few classes or clips.
    """
    embedder, experiment, _, calibration = open_run(run_dir, device, data_root, false_alarm, progress)
    if calibration is None:
        raise ConfigError(f"{run_dir}: its dataset has too few validation classes to calibrate on")
    folders = DatasetFolders.find(data_root, dataset or experiment.dataset_name)
    names = folders.list_classes() if classes == "all" else folders.read_splits().test
    enrolled = enrolled or min(experiment.n_way_test, len(names) // 2)
    unknown = min(enrolled, len(names) - enrolled) if unknown is None else unknown
    shot = shot or experiment.n_shot_test
    if enrolled < 2:
        raise ConfigError(f"{folders}: {plural(len(names), 'class')} to test on, expected at least two to enroll")
    results = run_tasks(
        open_pool(embedder, experiment, folders, "test", names, progress),
        embedder,
        experiment.tie_strategy,
        calibration.scatter,
        enrolled=enrolled,
        unknown=unknown,
        shot=shot,
        tasks=tasks,
        random=numpy_generator(experiment.test_seed, "test", 0, 0, Purpose.EPISODE),
        progress=progress,
    )
    return {
        "dataset": folders.name,
        "enrolled_classes": enrolled,
        "unknown_classes": unknown,
        "n_shot": shot,
        "tasks": tasks,
        **_figures(results, calibration.threshold),
        "ece_before": task_calibration_error(results, 1.0),
        "ece_after": task_calibration_error(results, calibration.temperature),
        "false_alarm_stated": false_alarm,
        "calibration": calibration.model_dump(),
    }


def _figures(results: list[TaskResult], threshold: float) -> dict[str, Any]:
    accuracies = np.array([float((task.votes == task.labels).mean()) for task in results])
    others = np.concatenate([task.other_unknown for task in results])
    return {
        "accuracy": float(accuracies.mean()),
        "ci95": ci95(accuracies),
        "std": float(accuracies.std()),
        "false_alarm": float((np.concatenate([task.query_unknown for task in results]) > threshold).mean()),
        "unknown_found": float((others > threshold).mean()) if len(others) else None,
        "auroc": mean_auroc(results) if len(others) else None,
    }
