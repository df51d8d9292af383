"""Successive halving: who is trained on a rung, and who goes on to the next; a pure function of finished trainings."""

from collections.abc import Sequence

from fewshot_audio.studies.crossval.plan import Candidate, Plan, Rung
from fewshot_audio.studies.crossval.training import Training


def trainings(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> list[Training]:
    """A rung's trainings, fold by fold: half a rung tells something about every candidate."""
    return [
        Training(plan, candidate, fold, rung.epochs, seed)
        for fold in range(rung.folds)
        for seed in plan.protocol.seeds
        for candidate in candidates
    ]


def fold_accuracies(plan: Plan, candidate: Candidate, rung: Rung, shot: int) -> dict[int, float]:
    """Accuracy on each fold that is finished, the mean over seeds; -1 where a training diverged."""
    found = {}
    for fold in range(rung.folds):
        jobs = [Training(plan, candidate, fold, rung.epochs, seed) for seed in plan.protocol.seeds]
        if all(job.file.exists() for job in jobs):
            results = [job.result for job in jobs]
            diverged = any("diverged" in result for result in results)
            scores = [-1.0] if diverged else [float(result["shots"][str(shot)]["accuracy"]) for result in results]
            found[fold] = sum(scores) / len(scores)
    return found


def rank(plan: Plan, candidate: Candidate, rung: Rung) -> float:
    """What a finished rung is decided by: the mean over its folds at the first shot; -1 where a training diverged."""
    accuracies = fold_accuracies(plan, candidate, rung, plan.protocol.shots[0]).values()
    return -1.0 if min(accuracies) < 0 else sum(accuracies) / len(accuracies)


def survivors(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> tuple[Candidate, ...]:
    """The base, which the others are compared with, and the best of the others, in their former order."""
    base, *others = candidates
    ranked = sorted(others, key=lambda candidate: -rank(plan, candidate, rung))
    kept = {candidate.name for candidate in ranked[: plan.kept(len(others))]}
    return (base, *(candidate for candidate in others if candidate.name in kept))


def standing(plan: Plan) -> tuple[int, list[Training]]:
    """The number of the first rung with something left to do (of the last one, else), and all its trainings."""
    candidates = plan.candidates
    for number, rung in enumerate(plan.rungs):
        jobs = trainings(plan, candidates, rung)
        if number + 1 == len(plan.rungs) or not all(job.file.exists() for job in jobs):
            break
        candidates = survivors(plan, candidates, rung)
    return number, jobs
