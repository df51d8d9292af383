"""Run what is missing of the matrix of experiments and collect its results."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fewshot_audio.config import ExperimentConfig, ModelConfig, read_json
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import ConfigError, DataError, Diverged
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import ON_EMBEDDINGS, evaluate_run
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.frozen_encoders import complete_with_encoders
from fewshot_audio.experiments.results import read_test
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.files import write_json
from fewshot_audio.functional.statistics import Z95, RunsSummary, TaskSummary
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.studies.reproduce.matrix import Cell
from fewshot_audio.studies.reproduce.matrix_tables import MatrixRow
from fewshot_audio.studies.reproduce.protocols import TaskChanges, Tasks

EVALUATIONS = "evaluations"
BASELINE_NAMES = {
    "log-mel": "log-mel statistics, nearest centroid",
    "untrained": "untrained network",
    "simpleshot": "SimpleShot (CL2N) on {}",
    "linear-probe": "linear probe on {}",
}


@dataclass(frozen=True)
class MatrixPlan:
    """What to run and where.

    Attributes:
        cells: the experiments.
        budget: a key of ``BUDGETS``.
        data_root: the folder of the dataset folders.
        output: the folder of the experiments.
        overrides: ``key.sub=value`` over the configs of every cell.
        protocols: the tasks that every trained network is tested on.
        test_on: further datasets on whose test classes the networks are tested.
    """

    cells: Sequence[Cell]
    budget: str
    data_root: Path
    output: Path
    overrides: Sequence[str] = ()
    protocols: Sequence[TaskChanges] = (TaskChanges(),)
    test_on: Sequence[str] = ()


def reproduce(plan: MatrixPlan, progress: Progress = silent) -> Iterator[MatrixRow]:
    """Train and test what is missing, cell by cell, and yield the rows of each cell as soon as it is finished.

    Finished runs and evaluations are not repeated. A dataset that is missing or does not fit and a training that
    diverges give a row with a note. A network of a joint training ("A+B") is tested on each of its datasets.

    Raises:
        ConfigError: an override is wrong; raised before any work.
        Interrupted: the process was asked to stop.
    """
    configs = [(cell, *cell.configs(plan.budget, plan.overrides)) for cell in plan.cells]
    baselines: set[tuple[object, ...]] = set()  # those that have their row already
    for cell, experiment, model in configs:
        report = prefixed(progress, f"{cell.dataset} {cell.system_name} {cell.encoder}, ")
        note = _dataset_problem(plan.data_root, experiment, model, report)
        try:
            runs = [] if note else _train(plan, experiment, model, report)
        except Diverged as error:
            note = str(error)
        if note:
            yield from (_row_without_result(cell, protocol.apply(experiment), note) for protocol in plan.protocols)
            continue
        members = [member.name for member in DatasetFolders.find(plan.data_root, cell.dataset).members]
        for dataset in dict.fromkeys([*members, *plan.test_on]):
            for protocol in plan.protocols:
                tasks = _with_test_classes(protocol.apply(experiment), plan.data_root, dataset)
                yield _row(cell, runs, plan.data_root, dataset, tasks, "network", report)
                for system in _baselines(experiment):
                    key = (dataset, tasks, system, *_depends_on(cell, system))
                    if key not in baselines:
                        baselines.add(key)
                        yield _row(cell, runs, plan.data_root, dataset, tasks, system, report)


def _baselines(experiment: ExperimentConfig) -> list[str]:
    """The baselines to put beside a network; one that adapts to each task has no embeddings for classifiers on them."""
    return [name for name in BASELINE_NAMES if not (experiment.algorithm.adapts and name in ON_EMBEDDINGS)]


def _dataset_problem(root: Path, experiment: ExperimentConfig, model: ModelConfig, progress: Progress) -> str:
    """Why the dataset cannot be trained on (missing, too small, segments of a wrong shape); empty if it can."""
    try:
        complete = complete_with_encoders(experiment, model)
        open_dataset(root, experiment, progress).check_input(experiment, complete)
    except (DataError, ConfigError) as error:
        return str(error)
    return ""


def _train(plan: MatrixPlan, experiment: ExperimentConfig, model: ModelConfig, progress: Progress) -> list[Run]:
    """Train the runs that are missing and return all of them."""
    results = run_experiment(experiment, model, plan.data_root, plan.output, resume=True, progress=progress)
    folder = ExperimentFolder(plan.output / experiment.experiment_folder)
    return [Run.read(folder.run(number)) for number in range(1, len(results.runs) + 1)]


def _with_test_classes(tasks: Tasks, root: Path, dataset: str) -> Tasks:
    try:
        return tasks.with_classes(len(DatasetFolders.find(root, dataset).read_splits().test))
    except DataError:  # becomes the note of the row
        return tasks


def _depends_on(cell: Cell, system: str) -> tuple[str, str]:
    """The encoder and the training data that a system's answers depend on; empty if they do not."""
    encoder = "" if system == "log-mel" else cell.encoder
    return encoder, "" if system in ("log-mel", "untrained") else cell.dataset


def _row(
    cell: Cell, runs: Sequence[Run], root: Path, dataset: str, tasks: Tasks, system: str, progress: Progress
) -> MatrixRow:
    name = cell.system_name if system == "network" else BASELINE_NAMES[system].format(cell.system_name)
    algorithm = cell.algorithm if system == "network" else "prototypes"
    encoder, trained_on = _depends_on(cell, system)
    if not encoder:  # all runs would give the same answers, which is no reason for a narrower interval
        runs = runs[:1]
    try:
        tests = [_evaluation(run, root, dataset, tasks, system, progress) for run in runs]
    except (DataError, ConfigError) as error:  # another dataset's shape, fewer classes than ways
        return MatrixRow(dataset, trained_on, name, encoder, **asdict(tasks), note=str(error), algorithm=algorithm)
    n_runs = len(tests) if encoder else 0
    summary = asdict(pool_runs(tests))
    return MatrixRow(dataset, trained_on, name, encoder, **asdict(tasks), runs=n_runs, **summary, algorithm=algorithm)


def _evaluation(run: Run, root: Path, dataset: str, tasks: Tasks, system: str, progress: Progress) -> TaskSummary:
    """Test a run, or read the result of a former test from the run's folder."""
    path = run.folder / EVALUATIONS / f"{dataset}_{system}_{'-'.join(map(str, asdict(tasks).values()))}.json"
    if path.is_file():
        return read_test(path, read_json(path))
    experiment = run.experiment.model_copy(update={**tasks.changes, "dataset_name": dataset})
    result = evaluate_run(run, root, experiment, system=system, progress=progress)
    write_json(path, asdict(result))
    return result


def pool_runs(tests: Sequence[TaskSummary]) -> RunsSummary:
    """Pool the tests of runs with equal numbers of tasks."""
    means = [test.accuracy for test in tests]
    mean = sum(means) / len(means)
    variance = sum(test.std**2 + (test.accuracy - mean) ** 2 for test in tests) / len(tests)
    spread = math.sqrt(sum((value - mean) ** 2 for value in means) / (len(means) - 1)) if len(means) > 1 else None
    tasks = sum(test.tasks for test in tests)
    interval = Z95 * math.sqrt(variance / tasks) if tasks > 1 else None
    return RunsSummary(mean, interval, spread)


def _row_without_result(cell: Cell, tasks: Tasks, note: str) -> MatrixRow:
    return MatrixRow(
        cell.dataset,
        cell.dataset,
        cell.system_name,
        cell.encoder,
        **asdict(tasks),
        note=note,
        algorithm=cell.algorithm,
    )
