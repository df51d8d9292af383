"""Comparing experiments that were tested on the same tasks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError


@dataclass(frozen=True)
class PairedDifference:
    """Mean accuracy of the second minus the first experiment over the same tasks, fractions of 1.

    ``ci95`` is the half width of the interval of the mean over tasks, ``p_value`` two-sided for no difference. Both
    count the luck of the test tasks only; ``runs`` says how many trainings each side's task accuracies average.
    """

    difference: float
    ci95: float
    p_value: float
    tasks: int
    runs: tuple[int, int]


def paired_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedDifference:
    """Compare accuracies of shape (runs, tasks) on the same tasks, task by task (the mean over each side's runs).

    A paired t-test with the normal distribution, which it equals at hundreds of tasks. Raises DataError where the
    numbers of tasks differ or there are fewer than two.
    """
    if first.shape[1] != second.shape[1] or first.shape[1] < 2:
        raise DataError(
            f"experiments are compared on the same tasks, at least 2: found {first.shape[1]} and {second.shape[1]}"
        )
    differences = second.mean(0) - first.mean(0)
    mean, tasks = float(differences.mean()), len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(tasks)
    p_value = math.erfc(abs(mean) / error / math.sqrt(2)) if error > 0 else float(mean == 0)
    return PairedDifference(mean, 1.96 * error, p_value, tasks, (len(first), len(second)))
