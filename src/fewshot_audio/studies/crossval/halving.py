"""Successive halving: the trainings of a rung and the candidates that go on, computed from finished trainings."""

from collections.abc import Sequence

from fewshot_audio.studies.crossval.plan import Candidate, Plan, Rung
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
            diverged = any("diverged" in result for result in results)
            scores = [-1.0] if diverged else [float(result["shots"][str(shot)]["accuracy"]) for result in results]
            accuracies[fold] = sum(scores) / len(scores)
    return accuracies


def mean_accuracy(plan: Plan, candidate: Candidate, rung: Rung) -> float:
    """The mean over the folds of a finished rung at the first shot, which ranks candidates; -1 if one diverged."""
    accuracies = fold_accuracies(plan, candidate, rung, plan.protocol.shots[0]).values()
    return -1.0 if min(accuracies) < 0 else sum(accuracies) / len(accuracies)


def survivors(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> tuple[Candidate, ...]:
    """The base, which the others are compared with, and the best of the others, in their former order."""
    base, *others = candidates
    ranking = sorted(others, key=lambda candidate: -mean_accuracy(plan, candidate, rung))
    names = {candidate.name for candidate in ranking[: plan.survivors(len(others))]}
    return (base, *(candidate for candidate in others if candidate.name in names))


def current_rung(plan: Plan) -> tuple[int, list[Training]]:
    """The number of the first unfinished rung, or of the last one if all are finished, and all its trainings."""
    candidates = plan.candidates
    for number, rung in enumerate(plan.rungs):
        jobs = trainings(plan, candidates, rung)
        if number + 1 == len(plan.rungs) or not all(job.file.exists() for job in jobs):
            break
        candidates = survivors(plan, candidates, rung)
    return number, jobs
