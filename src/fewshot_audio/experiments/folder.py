"""An experiment's folder: who may work in it, which of its runs are done, and how the runs of several are gathered."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, ExperimentConfig, ModelConfig, read_json
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import RUN_FILE, Run, versions
from fewshot_audio.files import clear_leftovers, write_json
from fewshot_audio.functional.statistics import summarize_runs

logger = logging.getLogger(__name__)

RESULT_FILE, ACCURACIES_FILE, RESULTS_FILE = "result.json", "test_accuracies.npy", "results.json"
LOCKS = ".locks"
# A resumed experiment may be given these anew: they change where and how long it runs, not a run's numbers.
RESUMABLE_KEYS = {"num_runs", "data_root", "device", "gpu_index"}


class ExperimentFolder:
    """``experiments/<experiment_folder>``: a folder ``run-<i>`` for each run (from 1), and ``results.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, number: int) -> Path:
        """The folder of a run."""
        return self.path / f"run-{number}"

    def done(self, number: int) -> bool:
        """Whether a run is trained and tested."""
        return (self.run(number) / RESULT_FILE).exists()

    def check(self, experiment: ExperimentConfig, model: ModelConfig, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that holds another experiment, or this one where neither flag was given (ConfigError)."""
        if resume and overwrite:
            raise ConfigError("resume keeps former results and overwrite deletes them: choose one")
        if not self.path.exists():
            return
        if overwrite:
            ours = (self.path / RESULTS_FILE).exists() or any(self.path.glob(f"run-*/{EXPERIMENT_FILE}"))
            if not ours and (not self.path.is_dir() or any(self.path.iterdir())):
                raise ConfigError(f"{self.path} is not an experiment's folder: it will not be overwritten")
            return
        if not resume:
            raise ConfigError(
                f"{self.path} exists: continue it with --resume, replace it with --overwrite, or choose another"
            )
        for run_file in sorted(self.path.glob(f"run-*/{RUN_FILE}")):
            file, changed = _changes(Run.read(run_file.parent), experiment, model)
            if changed:
                raise ConfigError(f"{file}: cannot resume with other settings: {', '.join(changed[:3])}")

    @contextmanager
    def working_on(self, number: int) -> Iterator[Path]:
        """Keep other processes off a run. Raises ConfigError where one is working on it already."""
        with _locked(self._lock(f"run-{number}"), f"{self.run(number)}: another process is working on this run"):
            clear_leftovers(self.run(number))
            yield self.run(number)

    def delete(self) -> None:
        """Delete everything. Raises ConfigError where a process is working on a run."""
        for path in sorted(self.path.glob(f"{LOCKS}/run-*")):
            with _locked(FileLock(path), f"{self.path / path.name}: a process is working on this run"):
                pass
        if self.path.exists():
            shutil.rmtree(self.path)

    def summarize(self, experiment: ExperimentConfig, model: ModelConfig, dataset: str) -> dict[str, Any]:
        """Write ``results.json`` of the runs that are done, whoever did them, and return what it holds."""
        with self._lock("results"):  # else the slower of two could write what it knew before the other finished
            done = [self.run(number) for number in range(1, experiment.num_runs + 1) if self.done(number)]
            summary = {
                **summarize_runs([read_json(run / RESULT_FILE) for run in done], [_accuracies(run) for run in done]),
                "dataset": dataset,
                "config": {"experiment": experiment.model_dump(), "model": model.model_dump()},
                "versions": versions(),
            }
            write_json(self.path / RESULTS_FILE, summary)
        return summary

    def _lock(self, name: str) -> FileLock:
        (self.path / LOCKS).mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / LOCKS / name)


def gather(folders: Sequence[Path], output: Path) -> dict[str, Any]:
    """Copy the finished runs of one experiment's folders, made on several machines, into ``output``; summarize them.

    Returns what its ``results.json`` holds. Raises ConfigError for runs of other settings or other data, and where
    two folders hold different results of the same run, before anything is copied.
    """
    target = ExperimentFolder(output)
    chosen: dict[int, Run] = {}
    for folder in (output, *folders) if output.exists() else folders:
        found = {_number(path.parent): Run.read(path.parent) for path in folder.glob(f"run-*/{RUN_FILE}")}
        unfinished = sorted(number for number in found if not ExperimentFolder(folder).done(number))
        if unfinished:
            logger.warning("%s: left out, for they are not finished: %s", folder, _listed(unfinished))
        if found.keys() == set(unfinished):
            if folder == output:
                continue
            raise DataError(f"{folder}: no finished run in it")
        for number in sorted(found.keys() - set(unfinished)):
            check_same_experiment(found[number], next(iter(chosen.values()), found[number]))
            if number in chosen and not _same_results(chosen[number].folder, found[number].folder):
                raise ConfigError(
                    f"{chosen[number].folder} and {found[number].folder} hold different results of the same run"
                )
            chosen.setdefault(number, found[number])
    first = chosen[min(chosen)]
    for number, run in sorted(chosen.items()):
        if run.folder != target.run(number):
            with target.working_on(number) as place:
                partial = place.with_name(f".{place.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(run.folder, partial)
                if place.exists():  # an unfinished run
                    shutil.rmtree(place)
                partial.rename(place)
    experiment = first.experiment.model_copy(update={"num_runs": max(*chosen, first.experiment.num_runs)})
    return target.summarize(experiment, first.model, first.experiment.dataset_name)


def _changes(run: Run, experiment: ExperimentConfig, model: ModelConfig) -> tuple[Path, list[str]]:
    """How other configs differ from a run's, and the run's file that says so; nothing where they do not."""
    for name, before, now in ((EXPERIMENT_FILE, run.experiment, experiment), (MODEL_CONFIG_FILE, run.model, model)):
        old, new = _leaves(before.model_dump()), _leaves(now.model_dump())
        keys = [key for key in new if old.get(key) != new[key] and key not in RESUMABLE_KEYS]
        if keys:
            return run.folder / name, [f"{key} ({old.get(key)!r} -> {new[key]!r})" for key in keys]
    return run.folder, []


def check_same_experiment(run: Run, first: Run) -> None:
    """Raise ConfigError where a run differs from another in its settings or its data; seeds may differ."""
    file, changed = _changes(first, run.experiment, run.model)
    if changed:
        raise ConfigError(f"{run.folder} is of another experiment than {file}: {', '.join(changed[:3])}")
    if run.dataset != first.dataset:
        raise ConfigError(f"{run.folder} was trained on other data than {first.folder}: the dataset folders differ")


def _same_results(one: Path, other: Path) -> bool:
    files = [folder / ACCURACIES_FILE for folder in (one, other)]
    return files[0].read_bytes() == files[1].read_bytes()


def _accuracies(run: Path) -> Any:
    return np.load(run / ACCURACIES_FILE, allow_pickle=False)


def _number(run: Path) -> int:
    try:
        return int(run.name.removeprefix("run-"))
    except ValueError as error:
        raise DataError(f"{run}: not the name of a run's folder (run-1, run-2, ...)") from error


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(f"run-{number}" for number in numbers)


@contextmanager
def _locked(lock: FileLock, refusal: str) -> Iterator[None]:
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigError(f"{refusal}; wait for its end, or choose other runs with --runs") from error
    try:
        yield
    finally:
        lock.release()


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
