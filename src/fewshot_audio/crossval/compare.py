"""The table of a cross-validation: accuracies, and differences from the base paired by fold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.crossval.halving import fold_accuracies, survivors, trainings
from fewshot_audio.crossval.plan import Candidate, Plan, Rung
from fewshot_audio.results import t_interval

INTERVAL = "95 %, Student's t over folds: a fold's difference from the base is one observation"


def compare(plan: Plan) -> dict[str, Any]:
    """Sum up every candidate at the last rung of which it and the base have finished a fold; the best first.

    The unit of replication is the fold, because the tasks of a fold share one trained network: a candidate's accuracy
    in a fold (the mean over seeds) minus the base's, on the same tasks, is one observation. Folds share training
    classes, so that the interval is somewhat too narrow, as it is in every cross-validation.
    """
    rows: dict[str, dict[str, Any]] = {}
    candidates = plan.candidates
    for rung in plan.rungs:
        rows |= {candidate.name: row for candidate in candidates if (row := _row(plan, candidate, rung))}
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


def _row(plan: Plan, candidate: Candidate, rung: Rung) -> dict[str, Any] | None:
    """A candidate's numbers on the folds of a rung that it and the base have finished; None without any."""
    base = plan.candidates[0]
    shots = []
    folds: list[int] = []
    for shot in plan.protocol.shots:
        own, others = (fold_accuracies(plan, each, rung, shot) for each in (candidate, base))
        folds = [fold for fold in own if fold in others]
        if not folds:
            return None
        accuracies = np.array([own[fold] for fold in folds])
        differences = accuracies - [others[fold] for fold in folds]
        shots.append(_numbers(shot, accuracies, differences, diverged=min(*own.values(), *others.values()) < 0))
    results = [job.result for job in trainings(plan, [candidate], rung) if job.file.exists()]
    sound = [result for result in results if "diverged" not in result]
    return {
        "name": candidate.name,
        "set": candidate.changes,
        "epochs": rung.epochs,
        "folds": len(folds),
        "diverged": [result["diverged"] for result in results if "diverged" in result],
        "shots": shots,
        "seconds_per_episode": float(np.median([result["seconds_per_episode"] for result in sound])) if sound else None,
        "parameters": sound[0]["parameters"] if sound else None,
    }


def _numbers(
    shot: int, accuracies: NDArray[np.float64], differences: NDArray[np.float64], *, diverged: bool
) -> dict[str, Any]:
    if diverged:
        return {"n_shot": shot, "accuracy": None, "per_fold": None, "difference": None, "interval": None}
    return {
        "n_shot": shot,
        "accuracy": float(accuracies.mean()),
        "per_fold": accuracies.tolist(),
        "difference": float(differences.mean()),
        "interval": t_interval(differences) if len(differences) > 1 else None,
    }


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
        f"Differences from the base are paired by fold; interval: {summary['interval']}."
    )
    return "\n".join([*lines, "", note, ""])


def _percent(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else f"{100 * accuracy:.2f}"


def _difference(name: str, test: dict[str, Any]) -> str:
    if test["difference"] is None or name == "base":
        return "-"
    interval = f" ± {100 * test['interval']:.2f}" if test["interval"] is not None else ""
    return f"{100 * test['difference']:+.2f}{interval}"


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
