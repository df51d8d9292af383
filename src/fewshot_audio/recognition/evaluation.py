"""How well a run's network serves as a recognizer: accuracy, calibration and unknown sounds, on classes new to it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import ConfigError
from fewshot_audio.functional.seeding import Purpose, numpy_generator
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.calibration import task_calibration_error
from fewshot_audio.recognition.from_run import open_pool, open_run
from fewshot_audio.recognition.open_set import Outcome, auroc, draw_tasks


def evaluate_recognition(
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
    """Calibrate a run on its validation classes, then enroll other classes and judge the rest of their clips.

    Each of ``tasks`` draws ``enrolled`` classes with ``shot`` clips each and ``unknown`` others; all other clips of
    both are judged. Defaults: the run's own dataset, half of its test classes (at most ``n_way_test``) enrolled and as
    many unknown, ``n_shot_test``. ``dataset`` names another folder, of which ``classes`` "all" takes every class.

    Returns accuracies and rates as fractions of 1: ``false_alarm`` is the share of known clips that were called
    unknown (``false_alarm_stated`` was asked for), ``unknown_found`` that of unknown ones. Raises DataError or
    ConfigError where the dataset does not fit the run or has too few classes or clips.
    """
    embedder, _, calibration = open_run(run_dir, device, data_root, false_alarm, progress)
    if calibration is None:
        raise ConfigError(f"{run_dir}: its dataset has too few validation classes to calibrate on")
    experiment = embedder.experiment
    folders = DatasetFolders.find(data_root, dataset or experiment.dataset_name)
    names = folders.list_classes() if classes == "all" else folders.read_splits().test
    enrolled = enrolled or min(experiment.n_way_test, len(names) // 2)
    unknown = min(enrolled, len(names) - enrolled) if unknown is None else unknown
    shot = shot or experiment.n_shot_test
    if enrolled < 2:
        raise ConfigError(f"{folders}: {len(names)} classes are too few to enroll two of them")
    pool = open_pool(embedder, folders, "test", progress, names)
    outcomes = draw_tasks(
        pool,
        embedder,
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
        **_figures(outcomes, calibration.threshold),
        "ece_before": task_calibration_error(outcomes, 1.0),
        "ece_after": task_calibration_error(outcomes, calibration.temperature),
        "false_alarm_stated": false_alarm,
        "calibration": calibration.model_dump(),
    }


def _figures(outcomes: list[Outcome], threshold: float) -> dict[str, Any]:
    accuracies = np.array([float((task.votes == task.labels).mean()) for task in outcomes])
    strangers = np.concatenate([task.unknown for task in outcomes])
    found: dict[str, Any] = {
        "accuracy": float(accuracies.mean()),
        "ci95": ci95(accuracies),
        "std": float(accuracies.std()),
        "false_alarm": float((np.concatenate([task.known for task in outcomes]) > threshold).mean()),
        "unknown_found": None,
        "auroc": None,
    }
    if len(strangers):
        found["unknown_found"] = float((strangers > threshold).mean())
        found["auroc"] = float(np.mean([auroc(task.known, task.unknown) for task in outcomes]))
    return found
