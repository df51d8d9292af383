"""The paired comparison of experiments that were tested on the same tasks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.functional.statistics import Z95


@dataclass(frozen=True)
class PairedDifference:
    """Mean accuracy of the second experiment minus that of the first over the same tasks, as fractions of 1.

    The interval and the p-value account for the choice of test tasks only, not for the seeds of the trainings.

    Attributes:
        difference: the mean over tasks.
        ci95: half width of the 95 % interval of the mean.
        p_value: two-sided, of no difference.
        tasks: number of tasks.
        runs: number of trainings that the task accuracies of each experiment are averaged over.
    """

    difference: float
    ci95: float
    p_value: float
    tasks: int
    runs: tuple[int, int]


def paired_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedDifference:
    """Compare accuracies on the same tasks, task by task, by a paired test on the means over runs.

    It is the t-test with the normal distribution, which it approaches at hundreds of tasks.

    Args:
        first: accuracies of the first experiment.
        second: accuracies of the second experiment.

    Raises:
        DataError: the numbers of tasks differ, or there are fewer than two tasks.

    Shape:
        first and second: (runs, tasks), each with its own number of runs.
    """
    if first.shape[1] != second.shape[1] or first.shape[1] < 2:
        raise DataError(
            f"experiments are compared on the same tasks, at least 2: found {first.shape[1]} and {second.shape[1]}"
        )
    differences = second.mean(0) - first.mean(0)
    mean, tasks = float(differences.mean()), len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(tasks)
    p_value = math.erfc(abs(mean) / error / math.sqrt(2)) if error > 0 else float(mean == 0)
    return PairedDifference(mean, Z95 * error, p_value, tasks, (len(first), len(second)))
