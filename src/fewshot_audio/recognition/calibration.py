"""What validation classes teach a recognizer: a temperature, a scatter, and a threshold for unknown sounds."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fewshot_audio.functional.reliability import reliability
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.open_set import Outcome, Pool, auroc, draw_tasks
from fewshot_audio.recognition.scoring import Floats, probabilities

TASKS = 200
LEAST_CLASSES = 3  # two to tell apart, and one that is unknown
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures
LEAST_PROBABILITY = 1e-12

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Calibration(BaseModel):
    """Numbers fitted on validation classes, none of which is enrolled.

    ``temperature`` divides scores before the softmax; ``scatter`` is the mean squared distance of a clip to its class.
    A clip whose unknown score passes ``threshold`` is answered "unknown", which is a false alarm where its class is
    enrolled: ``false_alarm`` is the share of such clips that was asked for. The others say how well it went there:
    the expected calibration error before and after, the area under the ROC curve, and which share of the unknown clips
    was found.
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
    pool: Pool,
    embedder: Embedder,
    *,
    way: int,
    shot: int,
    false_alarm: float,
    random: np.random.Generator,
    progress: Progress = silent,
) -> Calibration:
    """Fit on tasks of ``way`` validation classes, of which all but one are enrolled and that one is unknown."""
    scatter = pool.scatter
    outcomes = draw_tasks(
        pool,
        embedder,
        scatter,
        enrolled=way - 1,
        unknown=1,
        shot=shot,
        tasks=TASKS,
        random=random,
        progress=progress,
    )
    temperature = fit_temperature(outcomes)
    threshold = float(np.quantile(np.concatenate([task.known for task in outcomes]), 1 - false_alarm))
    return Calibration(
        temperature=temperature,
        scatter=scatter,
        threshold=threshold,
        false_alarm=false_alarm,
        ece_before=task_calibration_error(outcomes, 1.0),
        ece_after=task_calibration_error(outcomes, temperature),
        auroc=float(np.mean([auroc(task.known, task.unknown) for task in outcomes])),
        unknown_found=float((np.concatenate([task.unknown for task in outcomes]) > threshold).mean()),
        enrolled_classes=way - 1,
        shot=shot,
    )


def fit_temperature(outcomes: Sequence[Outcome]) -> float:
    """The temperature with the least negative log-likelihood of the known clips (Guo et al. 2017).

    A golden-section search on its logarithm.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(outcomes, math.exp(left)) < _loss(outcomes, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def task_calibration_error(outcomes: Sequence[Outcome], temperature: float) -> float:
    """Expected calibration error of the votes, pooled over tasks; confidence is the voted class's probability."""
    confidence, right = [], []
    for task in outcomes:
        given = probabilities(task.scores, task.counts, temperature)
        confidence.append(given[np.arange(len(given)), task.votes])
        right.append(task.votes == task.labels)
    return reliability(np.concatenate(confidence), np.concatenate(right)).ece


def _loss(outcomes: Sequence[Outcome], temperature: float) -> float:
    losses: list[Floats] = []
    for task in outcomes:
        given = probabilities(task.scores, task.counts, temperature)
        losses.append(-np.log(np.maximum(given[np.arange(len(given)), task.labels], LEAST_PROBABILITY)))
    return float(np.concatenate(losses).mean())
