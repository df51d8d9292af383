"""The table of a cross-validation: accuracies, and differences from the base on the same folds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.functional.statistics import t_quantile
from fewshot_audio.studies.crossval.halving import fold_accuracies, survivors, trainings
from fewshot_audio.studies.crossval.plan import BASE, Candidate, Plan, Rung

INTERVAL = "95 %, randomized blocks: accuracy = candidate + fold + noise of the same size for all candidates of a rung"


def compare(plan: Plan) -> dict[str, Any]:
    """Sum up every candidate at the last rung of which it and the base have finished a fold; the best first.

    The unit of replication is the fold, because the tasks of a fold share one trained network: a candidate's accuracy
    in a fold (the mean over seeds) is one observation, paired with the base's on the same tasks. Folds share training
    classes, so that the interval is somewhat too narrow, as it is in every cross-validation.
    """
    rows: dict[str, dict[str, Any]] = {}
    candidates = plan.candidates
    for rung in plan.rungs:
        rows |= {row["name"]: row for row in _rows(plan, candidates, rung)}
        if not all(job.file.exists() for job in trainings(plan, candidates, rung)):
            break
        candidates = survivors(plan, candidates, rung)
    base = plan.candidates[0]
    order = sorted(rows.values(), key=lambda row: (-row["epochs"], -row["folds"], -(row["shots"][0]["accuracy"] or 0)))
    return {
        "dataset": base.experiment.dataset_name,
        "n_way": base.experiment.n_way_test,
        "n_query": base.experiment.n_query_test,
        "tasks": plan.protocol.tasks,
        "seeds": list(plan.protocol.seeds),
        "rungs": [str(rung) for rung in plan.rungs],
        "folds": [list(classes) for classes in plan.folds],
        "interval": INTERVAL,
        "candidates": order,
        "base": {"experiment": base.experiment.model_dump(), "model": base.model.model_dump()},
    }


def _rows(plan: Plan, candidates: Sequence[Candidate], rung: Rung) -> list[dict[str, Any]]:
    """Each candidate's numbers on the folds of a rung that it and the base have finished, if there are any."""
    known = {
        shot: {candidate.name: fold_accuracies(plan, candidate, rung, shot) for candidate in candidates}
        for shot in plan.protocol.shots
    }
    finished = known[plan.protocol.shots[0]]
    rows = []
    for candidate in candidates:
        folds = sorted(finished[candidate.name].keys() & finished[BASE].keys())
        if folds:
            numbers = [_numbers(shot, candidate.name, folds, scores) for shot, scores in known.items()]
            rows.append(_row(plan, candidate, rung, folds, numbers))
    return rows


def _row(
    plan: Plan, candidate: Candidate, rung: Rung, folds: list[int], numbers: list[dict[str, Any]]
) -> dict[str, Any]:
    results = [job.result for job in trainings(plan, [candidate], rung) if job.file.exists()]
    sound = [result for result in results if "diverged" not in result]
    return {
        "name": candidate.name,
        "set": candidate.changes,
        "epochs": rung.epochs,
        "folds": len(folds),
        "diverged": [result["diverged"] for result in results if "diverged" in result],
        "shots": numbers,
        "seconds_per_episode": float(np.median([result["seconds_per_episode"] for result in sound])) if sound else None,
        "parameters": sound[0]["parameters"] if sound else None,
    }


def _numbers(shot: int, name: str, folds: list[int], known: dict[str, dict[int, float]]) -> dict[str, Any]:
    """One candidate's numbers at one shot. ``known``: what each candidate of the rung scored on its finished folds."""
    if min(*known[name].values(), *known[BASE].values()) < 0:
        return {"n_shot": shot, "accuracy": None, "per_fold": None, "difference": None, "interval": None}
    comparable = [own for own in known.values() if all(own.get(fold, -1) >= 0 for fold in folds)]
    accuracies = np.array([known[name][fold] for fold in folds])
    return {
        "n_shot": shot,
        "accuracy": float(accuracies.mean()),
        "per_fold": accuracies.tolist(),
        "difference": float((accuracies - [known[BASE][fold] for fold in folds]).mean()),
        "interval": block_interval(np.array([[own[fold] for fold in folds] for own in comparable])),
    }


def block_interval(accuracies: NDArray[np.float64]) -> float | None:
    """Half width of the 95 % interval of the difference of two candidates' means; None without two of each.

    Two or three folds say little about one candidate's noise, but all candidates on them say it together: its size is
    that of the residuals of accuracy = candidate + fold + noise (a two-way analysis of variance). For two candidates
    this is the paired Student's interval. Shape: (candidates, folds).
    """
    candidates, folds = accuracies.shape
    if min(candidates, folds) < 2:
        return None
    residuals = accuracies - accuracies.mean(1, keepdims=True) - accuracies.mean(0) + accuracies.mean()
    degrees = (candidates - 1) * (folds - 1)
    return t_quantile(degrees) * math.sqrt(2 * float((residuals**2).sum()) / degrees / folds)


def markdown(summary: dict[str, Any]) -> str:
    """Return the table that ``compare`` summed up, in percent, with a line that says how it came about."""
    shots = (
        [f"{test['n_shot']}-shot | difference" for test in summary["candidates"][0]["shots"]]
        if (summary["candidates"])
        else []
    )
    head = ["candidate", "folds x epochs", *shots, "s / episode", "parameters"]
    columns = " | ".join(head)
    lines = [f"| {columns} |", "|" + "---|" * (columns.count("|") + 1)]
    for row in summary["candidates"]:
        cells = [_escape(row["name"]), f"{row['folds']} x {row['epochs']}"]
        for test in row["shots"]:
            cells += [_percent(test["accuracy"]), _difference(row["name"], test)]
        trained = row["parameters"] is not None
        cells += [f"{row['seconds_per_episode']:.3f}", f"{row['parameters']:,}"] if trained else ["-", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, summary["seeds"]))
    note = (
        f"{summary['dataset']}: class-wise cross-validation inside the training and validation classes, "
        f"{len(summary['folds'])} folds of {min(map(len, summary['folds']))} or more classes; "
        f"{summary['n_way']}-way tasks, {summary['tasks']} a fold, {summary['n_query']} queries per class, "
        f"seeds {seeds}; last epoch's weights; accuracy in %. "
        f"Differences from the base are those on the same folds; interval: {summary['interval']}."
    )
    return "\n".join([*lines, "", note, ""])


def _percent(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else f"{100 * accuracy:.2f}"


def _difference(name: str, test: dict[str, Any]) -> str:
    if test["difference"] is None or name == BASE:
        return "-"
    interval = f" ± {100 * test['interval']:.2f}" if test["interval"] is not None else ""
    return f"{100 * test['difference']:+.2f}{interval}"


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
