"""Collects the runs of one experiment, trained on several machines, in one folder."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.folder import ExperimentFolder
from fewshot_audio.experiments.results import ACCURACIES_FILE, ExperimentResults, read_run_result
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.experiments.same_experiment import check_same_experiment

logger = logging.getLogger(__name__)


def gather_runs(folders: Sequence[Path], output: Path) -> ExperimentResults:
    """Copy the finished runs of several experiment folders into one, and summarize them.

    Args:
        folders: experiment folders that hold runs of the same experiment.
        output: the folder that they are copied to; runs that it already holds are kept.

    Returns:
        The content of the ``results.json`` of ``output``.

    Raises:
        ConfigError: runs of other settings or other data, or two folders with different results of the same run;
            nothing has been copied then.
        DataError: a folder has no finished run, or the result of one is damaged.
    """
    runs: dict[int, Run] = {}
    for folder in (output, *folders) if output.exists() else folders:
        for number, run in _finished_runs(folder, allow_none=folder == output).items():
            check_same_experiment(run, next(iter(runs.values()), run))
            read_run_result(run.folder)
            if number in runs and not _have_same_results(runs[number].folder, run.folder):
                raise ConfigError(f"{runs[number].folder} and {run.folder} hold different results of the same run")
            runs.setdefault(number, run)
    target = ExperimentFolder(output)
    for number, run in sorted(runs.items()):
        if run.folder != target.run(number):
            with target.working_on(number) as copy:
                partial = copy.with_name(f".{copy.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(run.folder, partial)
                if copy.exists():  # an unfinished run
                    shutil.rmtree(copy)
                partial.rename(copy)
    first = runs[min(runs)]
    experiment = first.experiment.model_copy(update={"num_runs": max(*runs, first.experiment.num_runs)})
    return target.summarize(experiment, first.model, first.experiment.dataset_name)


def _finished_runs(folder: Path, *, allow_none: bool) -> dict[int, Run]:
    """A folder's finished runs by number, in order."""
    runs = {_number(path.parent): Run.read(path.parent) for path in folder.glob(f"run-*/{RUN_FILE}")}
    unfinished = sorted(number for number in runs if not ExperimentFolder(folder).done(number))
    if unfinished:
        names = ", ".join(f"run-{number}" for number in unfinished)
        logger.warning("%s: left out, because they are not finished: %s", folder, names)
    if len(runs) == len(unfinished) and not allow_none:
        raise DataError(f"{folder}: no finished run in it")
    return {number: runs[number] for number in sorted(runs.keys() - set(unfinished))}


def _number(run: Path) -> int:
    try:
        return int(run.name.removeprefix("run-"))
    except ValueError as error:
        raise DataError(f"{run}: not the name of a run's folder (run-1, run-2, ...)") from error


def _have_same_results(one: Path, other: Path) -> bool:
    return (one / ACCURACIES_FILE).read_bytes() == (other / ACCURACIES_FILE).read_bytes()
