"""Statistics of results: accuracies with their intervals, per run and per experiment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Accuracies = NDArray[np.float64]
Z95 = 1.96  # 97.5 % quantile of the normal distribution, as the field rounds it


def ci95(values: Accuracies) -> float:
    """Half width of the 95 % interval of the mean: Z95 * standard deviation / sqrt(number of values)."""
    return float(Z95 * values.std() / math.sqrt(len(values)))


@dataclass(frozen=True)
class TaskSummary:
    """One test: the section "test" of a run's results.

    Attributes:
        accuracy: mean over the tasks, a fraction of 1.
        ci95: half width of its 95 % interval.
        std: standard deviation over the tasks.
        tasks: number of tasks.
        n_way: classes of a task.
        n_shot: support clips of a class.
        n_query: query clips of a class.
    """

    accuracy: float
    ci95: float
    std: float
    tasks: int
    n_way: int
    n_shot: int
    n_query: int


@dataclass(frozen=True)
class RunsSummary:
    """Several runs of one experiment.

    Attributes:
        accuracy: mean over the runs, a fraction of 1.
        ci95: half width of its 95 % interval, over the pooled tasks; None for a single task.
        std_over_runs: standard deviation of the runs' accuracies, with one degree of freedom less than there are runs;
            None for a single run.
    """

    accuracy: float
    ci95: float | None
    std_over_runs: float | None


def summarize_tasks(accuracies: Accuracies, n_way: int, n_shot: int, n_query: int) -> TaskSummary:
    """Summarize the tasks of one test, of which ``accuracies`` (tasks,) are in [0, 1]."""
    return TaskSummary(
        accuracy=float(accuracies.mean()),
        ci95=ci95(accuracies),
        std=float(accuracies.std()),
        tasks=len(accuracies),
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
    )


def summarize_runs(runs: Sequence[TaskSummary], accuracies: Sequence[Accuracies]) -> RunsSummary:
    """Summarize an experiment: the mean over runs, the interval over the pooled tasks, the spread over runs.

    Args:
        runs: each run's test.
        accuracies: the accuracies of each run's tasks.
    """
    means = np.array([run.accuracy for run in runs])
    spread = float(means.std(ddof=1)) if len(runs) > 1 else None
    return RunsSummary(float(means.mean()), ci95(np.concatenate(accuracies)), spread)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score; it is right for few trials and for shares of 0 and 1.

    Example:
        >>> [round(end, 2) for end in wilson_interval(4, 4)]
        [0.51, 1.0]
    """
    share, weight = successes / trials, Z95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = Z95 * math.sqrt((share * (1 - share) + weight / 4) / trials) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


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
