"""The results of a cross-validation: accuracies, and differences from the base on the same folds."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.functional.statistics import t_quantile
from fewshot_audio.studies.crossval.halving import fold_accuracies, started_rungs, trainings
from fewshot_audio.studies.crossval.plan import BASE, Candidate, Plan, Rung
from fewshot_audio.studies.crossval.results import (
    CandidateRow,
    Comparison,
    DivergedTraining,
    ShotComparison,
    TrainingResult,
)
from fewshot_audio.studies.tables import markdown_table

INTERVAL = "95 %, randomized blocks: accuracy = candidate + fold + noise of the same size for all candidates of a rung"


def compare(plan: Plan) -> Comparison:
    """Summarize every candidate at the last rung on which it and the base have finished a fold; the best first.

    The unit of replication is the fold, because the tasks of a fold share one trained network: a candidate's accuracy
    on a fold (the mean over seeds) is one observation, paired with the base's on the same tasks. Folds share training
    classes, which makes the interval somewhat too narrow, as in every cross-validation.
    """
    rows: dict[str, CandidateRow] = {}
    for rung, candidates, _ in started_rungs(plan):
        rows |= {row.name: row for row in _rows(plan, candidates, rung)}
    return Comparison(
        base=plan.candidates[0],
        tasks=plan.protocol.tasks,
        seeds=plan.protocol.seeds,
        rungs=[str(rung) for rung in plan.rungs],
        folds=plan.folds,
        interval=INTERVAL,
        candidates=sorted(rows.values(), key=lambda row: (-row.epochs, -row.folds, -(row.shots[0].accuracy or 0))),
    )


def _rows(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> list[CandidateRow]:
    """Each candidate's numbers on the folds of a rung that it and the base have finished, if there are any."""
    accuracies = {
        shot: {candidate.name: fold_accuracies(plan, candidate, rung, shot) for candidate in candidates}
        for shot in plan.protocol.shots
    }
    finished = accuracies[plan.protocol.shots[0]]
    rows = []
    for candidate in candidates:
        folds = sorted(finished[candidate.name].keys() & finished[BASE].keys())
        if folds:
            numbers = [_numbers(shot, candidate.name, folds, own) for shot, own in accuracies.items()]
            rows.append(_row(plan, candidate, rung, folds, numbers))
    return rows


def _row(plan: Plan, candidate: Candidate, rung: Rung, folds: list[int], numbers: list[ShotComparison]) -> CandidateRow:
    results = [job.result for job in trainings(plan, [candidate], rung) if job.file.exists()]
    complete = [result for result in results if isinstance(result, TrainingResult)]
    seconds = [result.seconds_per_episode for result in complete]
    return CandidateRow(
        name=candidate.name,
        changes=candidate.changes,
        epochs=rung.epochs,
        folds=len(folds),
        diverged=[result.diverged for result in results if isinstance(result, DivergedTraining)],
        shots=numbers,
        seconds_per_episode=float(np.median(seconds)) if seconds else None,
        parameters=complete[0].parameters if complete else None,
    )


def _numbers(shot: int, name: str, folds: list[int], accuracies: dict[str, dict[int, float]]) -> ShotComparison:
    """One candidate's numbers at one shot; ``accuracies`` holds those of every candidate of the rung, by fold."""
    if min(*accuracies[name].values(), *accuracies[BASE].values()) < 0:
        return ShotComparison(shot, accuracy=None, per_fold=None, difference=None, interval=None)
    comparable = [own for own in accuracies.values() if all(own.get(fold, -1) >= 0 for fold in folds)]
    per_fold = np.array([accuracies[name][fold] for fold in folds])
    return ShotComparison(
        n_shot=shot,
        accuracy=float(per_fold.mean()),
        per_fold=per_fold.tolist(),
        difference=float((per_fold - [accuracies[BASE][fold] for fold in folds]).mean()),
        interval=block_interval(np.array([[own[fold] for fold in folds] for own in comparable])),
    )


def block_interval(accuracies: NDArray[np.float64]) -> float | None:
    """Half width of the 95 % interval of the difference of two candidates' means.

    Two or three folds say little about the noise of one candidate, so it is estimated from all candidates together:
    from the residuals of accuracy = candidate + fold + noise (a two-way analysis of variance). For two candidates
    this is Student's interval of paired differences.

    Returns:
        None if there are fewer than two candidates or folds.

    Shape:
        accuracies: (candidates, folds).
    """
    candidates, folds = accuracies.shape
    if min(candidates, folds) < 2:
        return None
    within_folds = accuracies - accuracies.mean(0)  # first, so that equal candidates leave exactly 0
    residuals = within_folds - within_folds.mean(1, keepdims=True)
    degrees = (candidates - 1) * (folds - 1)
    return t_quantile(degrees) * math.sqrt(2 * float((residuals**2).sum()) / degrees / folds)


def markdown(comparison: Comparison) -> str:
    """Return a comparison as a table, in percent, with a line that says how it was computed."""
    shots = comparison.candidates[0].shots if comparison.candidates else []
    header = [column for test in shots for column in (f"{test.n_shot}-shot", "difference")]
    rows = []
    for row in comparison.candidates:
        cells = [row.name, f"{row.folds} x {row.epochs}"]
        for test in row.shots:
            cells += [_percent(test.accuracy), _difference(row.name, test)]
        cells.append("-" if row.seconds_per_episode is None else f"{row.seconds_per_episode:.3f}")
        cells.append("-" if row.parameters is None else f"{row.parameters:,}")
        rows.append(cells)
    table = markdown_table(["candidate", "folds x epochs", *header, "s / episode", "parameters"], rows)
    seeds = ", ".join(map(str, comparison.seeds))
    experiment = comparison.base.experiment
    note = (
        f"{experiment.dataset_name}: class-wise cross-validation inside the training and validation classes, "
        f"{len(comparison.folds)} folds of {min(map(len, comparison.folds))} or more classes; "
        f"{experiment.n_way_test}-way tasks, {comparison.tasks} a fold, {experiment.n_query_test} queries per class, "
        f"seeds {seeds}; last epoch's weights; accuracy in %. "
        f"Differences from the base are those on the same folds; interval: {comparison.interval}."
    )
    return f"{table}\n{note}\n"


def _percent(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else f"{100 * accuracy:.2f}"


def _difference(name: str, test: ShotComparison) -> str:
    if test.difference is None or name == BASE:
        return "-"
    interval = f" ± {100 * test.interval:.2f}" if test.interval is not None else ""
    return f"{100 * test.difference:+.2f}{interval}"
