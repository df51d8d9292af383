"""Calibration of a recognizer on validation classes: temperature, scatter, and the threshold for unknown sounds."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fewshot_audio.config.experiment import TieStrategy
from fewshot_audio.functional.reliability import reliability
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.scoring import Counts, Floats, probabilities

if TYPE_CHECKING:
    from fewshot_audio.recognition.embedder import Embedder
    from fewshot_audio.recognition.open_set_tasks import Pool, TaskResult

TASKS = 200
LEAST_CLASSES = 3  # two to tell apart, and one that is unknown
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-3, 1e3
LEAST_PROBABILITY = 1e-12

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Calibration(BaseModel):
    """Numbers fitted on tasks of validation classes; the classes that a person enrolls play no part.

    Args:
        temperature: scores are divided by it before the softmax.
        scatter: mean squared distance of a clip to its class.
        threshold: a clip whose unknown score exceeds it is answered "unknown".
        false_alarm: the share of clips of enrolled classes that may be called unknown, as asked for.
        ece_before: expected calibration error of the votes at temperature 1.
        ece_after: the same at ``temperature``.
        auroc: area under the ROC curve of the unknown score.
        unknown_found: the share of clips of other classes that were called unknown.
        enrolled_classes: how many classes a task enrolled; one more was unknown.
        shot: clips that were enrolled of a class.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    temperature: Positive
    scatter: Positive
    threshold: Positive
    false_alarm: Annotated[float, Field(gt=0, lt=1)]
    ece_before: Share
    ece_after: Share
    auroc: Share
    unknown_found: Share
    enrolled_classes: Annotated[int, Field(ge=2)]
    shot: Annotated[int, Field(ge=1)]


def calibrate(
    pool: "Pool",
    embedder: "Embedder",
    tie_strategy: TieStrategy,
    *,
    way: int,
    shot: int,
    false_alarm: float,
    random: np.random.Generator,
    progress: Progress = silent,
) -> Calibration:
    """Fit on tasks of validation classes: a task enrolls all its classes but one, and that one is unknown.

    Args:
        pool: embedded clips of the validation classes.
        embedder: scores rows.
        tie_strategy: how a tied vote is decided.
        way: classes of a task.
        shot: clips that are enrolled of a class.
        false_alarm: the share of clips of enrolled classes that may be called unknown.
        random: draws the tasks.
        progress: reports the tasks done.
    """
    from fewshot_audio.recognition.open_set_tasks import mean_auroc, run_tasks  # not needed to read a calibration

    scatter = pool.scatter
    results = run_tasks(
        pool,
        embedder,
        tie_strategy,
        scatter,
        enrolled=way - 1,
        unknown=1,
        shot=shot,
        tasks=TASKS,
        random=random,
        progress=progress,
    )
    temperature = fit_temperature(results)
    threshold = float(np.quantile(np.concatenate([task.query_unknown for task in results]), 1 - false_alarm))
    return Calibration(
        temperature=temperature,
        scatter=scatter,
        threshold=threshold,
        false_alarm=false_alarm,
        ece_before=task_calibration_error(results, 1.0),
        ece_after=task_calibration_error(results, temperature),
        auroc=mean_auroc(results),
        unknown_found=float((np.concatenate([task.other_unknown for task in results]) > threshold).mean()),
        enrolled_classes=way - 1,
        shot=shot,
    )


def fit_temperature(results: Sequence["TaskResult"]) -> float:
    """The temperature with the least negative log-likelihood of the query clips (Guo et al. 2017).

    A golden-section search on its logarithm.
    """
    low, high = math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(results, math.exp(left)) < _loss(results, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def task_calibration_error(results: Sequence["TaskResult"], temperature: float) -> float:
    """Expected calibration error of the votes, pooled over tasks; confidence is the voted class's probability."""
    confidence = np.concatenate([_probabilities_of(task, task.votes, temperature) for task in results])
    correct = np.concatenate([task.votes == task.labels for task in results])
    return reliability(confidence, correct).ece


def _loss(results: Sequence["TaskResult"], temperature: float) -> float:
    likelihoods = np.concatenate([_probabilities_of(task, task.labels, temperature) for task in results])
    return float(-np.log(np.maximum(likelihoods, LEAST_PROBABILITY)).mean())


def _probabilities_of(task: "TaskResult", labels: Counts, temperature: float) -> Floats:
    """Each query clip's probability of the class that ``labels`` names for it."""
    table = probabilities(task.scores, task.counts, temperature)
    values: Floats = table[np.arange(len(table)), labels]
    return values
