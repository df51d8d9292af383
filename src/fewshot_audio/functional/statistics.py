"""Statistics of results: accuracies with their intervals, per run and per experiment."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Accuracies = NDArray[np.float64]
Z95 = 1.96  # 97.5 % quantile of the normal distribution, as the field rounds it


def ci95(values: Accuracies) -> float:
    """Half width of the 95 % interval of the mean: Z95 * standard deviation / sqrt(number of values)."""
    return float(Z95 * values.std() / math.sqrt(len(values)))


def summarize_tasks(accuracies: Accuracies, n_way: int, n_shot: int, n_query: int) -> dict[str, Any]:
    """Summarize the tasks of one test.

    Args:
        accuracies: accuracy of each task (tasks,), in [0, 1].
        n_way: classes of a task.
        n_shot: support clips of a class.
        n_query: query clips of a class.

    Returns:
        The section "test" of a run's results.
    """
    return {
        "accuracy": float(accuracies.mean()),
        "ci95": ci95(accuracies),
        "std": float(accuracies.std()),
        "tasks": len(accuracies),
        "n_way": n_way,
        "n_shot": n_shot,
        "n_query": n_query,
    }


def summarize_runs(runs: Sequence[dict[str, Any]], accuracies: Sequence[Accuracies]) -> dict[str, Any]:
    """Summarize an experiment: the mean over runs, the interval over the pooled tasks, the spread over runs.

    Args:
        runs: each run's results; their section "test" is what ``summarize_tasks`` returns.
        accuracies: the accuracies of each run's tasks.

    Returns:
        The sections of ``results.json``. ``std_over_runs`` has one degree of freedom less than there are runs, and is
        None for a single run.
    """
    means = np.array([run["test"]["accuracy"] for run in runs])
    return {
        "runs": list(runs),
        "accuracy": float(means.mean()),
        "ci95": ci95(np.concatenate(accuracies)),
        "ci95_over": "pooled tasks of all runs",
        "std_over_runs": float(means.std(ddof=1)) if len(runs) > 1 else None,
    }


def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with ``degrees`` degrees of freedom, by bisection."""
    low, high = 0.0, 13.0  # the quantile is 12.7 for one degree, and less for more
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _central_probability(middle, degrees) < 0.95 else (low, middle)
    return low


def _central_probability(t: float, degrees: int) -> float:
    """P(|T| < t) of Student's t: a finite sum over the angle atan(t / sqrt(degrees)).

    Abramowitz and Stegun 26.7.3 (odd degrees) and 26.7.4 (even degrees).
    """
    angle = math.atan(t / math.sqrt(degrees))
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    if odd:
        return (angle + math.sin(angle) * total) * 2 / math.pi
    return math.sin(angle) * total
