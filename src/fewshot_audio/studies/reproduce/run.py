"""Run what is missing of the matrix of experiments, and lay the results beside the published ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig, check_input, read_json
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.engine.train import Diverged
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.files import write_json
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.reproduce.matrix import NAMES, Cell
from fewshot_audio.studies.reproduce.matrix_tables import Row
from fewshot_audio.studies.reproduce.protocols import Protocol, Tasks

EVALUATIONS = "evaluations"
BASELINE_NAMES = {
    "log-mel": "log-mel statistics, nearest centroid",
    "untrained": "untrained network",
    "simpleshot": "SimpleShot (CL2N) on {}",
    "linear-probe": "linear probe on {}",
}


@dataclass(frozen=True)
class Plan:
    """What to run and where. ``test_on`` names further datasets whose test classes the trained networks meet."""

    cells: Sequence[Cell]
    budget: str
    data_root: Path
    output: Path
    overrides: Sequence[str] = ()
    protocols: Sequence[Protocol] = (Protocol(),)
    test_on: Sequence[str] = ()


def reproduce(plan: Plan, progress: Progress = silent) -> Iterator[Row]:
    """Train and test what is missing, cell by cell, and yield the rows of each cell as soon as it is done.

    Finished runs and evaluations are kept; a dataset that is missing or does not fit, and a training that diverges,
    are rows that say so. What is trained jointly ("A+B") is tested on each of its datasets.
    Raises ConfigError for wrong overrides before any work, and Interrupted.
    """
    configs = [(cell, *cell.configs(plan.budget, plan.overrides)) for cell in plan.cells]
    beside: set[tuple[Any, ...]] = set()  # baselines that have their rows
    for cell, experiment, model in configs:
        title = f"{cell.dataset} {NAMES[cell.system]} {cell.encoder}"

        def report(description: str, done: int, total: int, details: str = "", title: str = title) -> None:
            progress(f"{title}, {description}", done, total, details)

        note = _misfit(plan.data_root, experiment, model, report)
        try:
            runs = [] if note else _train(plan, experiment, model, report)
        except Diverged as error:
            note = str(error)
        if note:
            yield from (_empty(cell, protocol.of(experiment), note) for protocol in plan.protocols)
            continue
        members = [member.name for member in DatasetFolders.find(plan.data_root, cell.dataset).members]
        for dataset in dict.fromkeys([*members, *plan.test_on]):
            for protocol in plan.protocols:
                tasks = _among_test_classes(protocol.of(experiment), plan.data_root, dataset)
                yield _row(cell, runs, plan.data_root, dataset, tasks, "network", report)
                for system in BASELINE_NAMES:
                    key = (dataset, tasks, system, *_depends_on(cell, system))
                    if key not in beside:  # beside the first system of its kind
                        beside.add(key)
                        yield _row(cell, runs, plan.data_root, dataset, tasks, system, report)


def _misfit(root: Path, experiment: ExperimentConfig, model: ModelConfig, progress: Progress) -> str:
    """Why the dataset cannot be trained on: it is missing, too small, or of another shape than the network takes."""
    try:
        check_input(experiment, model, *open_dataset(root, experiment, progress).input_shape)
    except (DataError, ConfigError) as error:
        return str(error)
    return ""


def _train(plan: Plan, experiment: ExperimentConfig, model: ModelConfig, progress: Progress) -> list[Run]:
    """Do the runs that are missing."""
    results = run_experiment(experiment, model, plan.data_root, plan.output, resume=True, progress=progress)
    folder = plan.output / experiment.experiment_folder
    return [Run.read(folder / f"run-{number}") for number in range(1, len(results["runs"]) + 1)]


def _among_test_classes(tasks: Tasks, root: Path, dataset: str) -> Tasks:
    try:
        return tasks.among(len(DatasetFolders.find(root, dataset).read_splits().test))
    except DataError:  # the row will say so
        return tasks


def _depends_on(cell: Cell, system: str) -> tuple[str, str]:
    """The encoder and the training data by which a system's answers differ, each empty where it has none."""
    encoder = "" if system == "log-mel" else cell.encoder
    return encoder, "" if system in ("log-mel", "untrained") else cell.dataset


def _row(
    cell: Cell, runs: Sequence[Run], root: Path, dataset: str, tasks: Tasks, system: str, progress: Progress
) -> Row:
    name = NAMES[cell.system] if system == "network" else BASELINE_NAMES[system].format(NAMES[cell.system])
    encoder, trained_on = _depends_on(cell, system)
    if not encoder:  # every run would answer alike, which narrows no interval
        runs = runs[:1]
    try:
        tests = [_evaluation(run, root, dataset, tasks, system, progress) for run in runs]
    except (DataError, ConfigError) as error:  # another dataset's shape, fewer classes than ways
        return Row(dataset, trained_on, name, encoder, **asdict(tasks), note=str(error))
    counted = len(tests) if encoder else 0
    return Row(dataset, trained_on, name, encoder, **asdict(tasks), runs=counted, **pooled(tests))


def _evaluation(run: Run, root: Path, dataset: str, tasks: Tasks, system: str, progress: Progress) -> dict[str, Any]:
    """A run's test, from its folder if it is there."""
    path = run.folder / EVALUATIONS / f"{dataset}_{system}_{'-'.join(map(str, asdict(tasks).values()))}.json"
    if path.is_file():
        return read_json(path)
    experiment = run.experiment.model_copy(update={**tasks.changes, "dataset_name": dataset})
    result = evaluate_run(run, root, experiment, system=system, progress=progress)
    write_json(path, result)
    return result


def pooled(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over runs, interval over the pooled tasks, spread over runs, from the runs' summaries of equal tasks."""
    means = [test["accuracy"] for test in tests]
    mean = sum(means) / len(means)
    variance = sum(test["std"] ** 2 + (test["accuracy"] - mean) ** 2 for test in tests) / len(tests)
    spread = math.sqrt(sum((value - mean) ** 2 for value in means) / (len(means) - 1)) if len(means) > 1 else None
    tasks = sum(test["tasks"] for test in tests)
    return {"accuracy": mean, "ci95": 1.96 * math.sqrt(variance / tasks), "std_over_runs": spread}


def _empty(cell: Cell, tasks: Tasks, note: str) -> Row:
    return Row(cell.dataset, cell.dataset, NAMES[cell.system], cell.encoder, **asdict(tasks), note=note)
