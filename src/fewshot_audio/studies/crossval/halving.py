"""Successive halving: the trainings of a rung and the candidates that go on, computed from finished trainings."""

import math
from collections.abc import Iterator, Sequence

from fewshot_audio.studies.crossval.plan import Candidate, Plan, Rung
from fewshot_audio.studies.crossval.results import TrainingResult
from fewshot_audio.studies.crossval.training import Training


def trainings(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> list[Training]:
    """A rung's trainings, fold by fold, so that an unfinished rung has results of every candidate."""
    return [
        Training(plan, candidate, fold, rung.epochs, seed)
        for fold in range(rung.folds)
        for seed in plan.protocol.seeds
        for candidate in candidates
    ]


def fold_accuracies(plan: Plan, candidate: Candidate, rung: Rung, shot: int) -> dict[int, float]:
    """Accuracy on each finished fold, the mean over seeds; -1 if a training diverged."""
    accuracies = {}
    for fold in range(rung.folds):
        jobs = [Training(plan, candidate, fold, rung.epochs, seed) for seed in plan.protocol.seeds]
        if all(job.file.exists() for job in jobs):
            results = [job.result for job in jobs]
            scores = [result.shots[shot].accuracy for result in results if isinstance(result, TrainingResult)]
            accuracies[fold] = sum(scores) / len(scores) if len(scores) == len(results) else -1.0
    return accuracies


def mean_accuracy(plan: Plan, candidate: Candidate, rung: Rung) -> float:
    """The mean over the folds of a finished rung at the first shot, which ranks candidates; -1 if one diverged."""
    accuracies = fold_accuracies(plan, candidate, rung, plan.protocol.shots[0]).values()
    return -1.0 if min(accuracies) < 0 else sum(accuracies) / len(accuracies)


def survivors(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> tuple[Candidate, ...]:
    """The base, which the others are compared with, and the best of the others, in their former order."""
    base, *others = candidates
    ranking = sorted(others, key=lambda candidate: -mean_accuracy(plan, candidate, rung))
    n_survivors = max(1, math.ceil(plan.protocol.keep * len(others) - 1e-9))
    names = {candidate.name for candidate in ranking[:n_survivors]}
    return (base, *(candidate for candidate in others if candidate.name in names))


def started_rungs(plan: Plan) -> Iterator[tuple[Rung, tuple[Candidate, ...], list[Training]]]:
    """Yield each rung with its candidates and their trainings, up to the first rung that is not finished.

    A caller may finish the trainings of a rung before it takes the next one.
    """
    candidates = plan.candidates
    for rung in plan.rungs:
        jobs = trainings(plan, candidates, rung)
        yield rung, candidates, jobs
        if rung is plan.rungs[-1] or not all(job.file.exists() for job in jobs):
            break
        candidates = survivors(plan, candidates, rung)
