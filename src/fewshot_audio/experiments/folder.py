"""An experiment's folder: which of its runs are done, and which process works on each."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from fewshot_audio.config import EXPERIMENT_FILE, ExperimentConfig, ModelConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.results import RESULTS_FILE, RUN_RESULT_FILE, ExperimentResults, read_run_result
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.experiments.same_experiment import changed_settings
from fewshot_audio.experiments.versions import versions
from fewshot_audio.files import locked, remove_temporary_files, write_json
from fewshot_audio.functional.statistics import summarize_runs

LOCKS = ".locks"


class ExperimentFolder:
    """``experiments/<experiment_folder>``: a folder ``run-<i>`` for each run (from 1), and ``results.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, number: int) -> Path:
        """The folder of a run."""
        return self.path / f"run-{number}"

    def done(self, number: int) -> bool:
        """Whether a run is trained and tested."""
        return (self.run(number) / RUN_RESULT_FILE).exists()

    def check(self, experiment: ExperimentConfig, model: ModelConfig, *, resume: bool, overwrite: bool) -> None:
        """Check that the experiment may be run in this folder.

        Args:
            experiment: the experiment config.
            model: the model config.
            resume: the folder may hold runs of the same experiment.
            overwrite: the folder may hold any experiment.

        Raises:
            ConfigError: the folder holds something else.
        """
        if resume and overwrite:
            raise ConfigError("resume keeps former results and overwrite deletes them: choose one")
        if not self.path.exists():
            return
        if overwrite:
            is_experiment = (self.path / RESULTS_FILE).exists() or any(self.path.glob(f"run-*/{EXPERIMENT_FILE}"))
            if not is_experiment and (not self.path.is_dir() or any(self.path.iterdir())):
                raise ConfigError(f"{self.path} is not an experiment's folder: it will not be overwritten")
            return
        if not resume:
            raise ConfigError(
                f"{self.path} exists: continue it with --resume, replace it with --overwrite, or choose another"
            )
        for run_file in sorted(self.path.glob(f"run-*/{RUN_FILE}")):
            file, changes = changed_settings(Run.read(run_file.parent), experiment, model)
            if changes:
                raise ConfigError(f"{file}: cannot resume with other settings: {', '.join(changes[:3])}")

    @contextmanager
    def working_on(self, number: int) -> Iterator[Path]:
        """Lock a run against other processes. Raises ConfigError if one is working on it already."""
        with locked(self._lock(f"run-{number}"), _in_use(self.run(number))):
            remove_temporary_files(self.run(number))
            yield self.run(number)

    def delete(self) -> None:
        """Delete everything. Raises ConfigError if a process is working on a run."""
        for path in sorted(self.path.glob(f"{LOCKS}/run-*")):
            with locked(path, _in_use(self.path / path.name)):
                pass
        if self.path.exists():
            shutil.rmtree(self.path)

    def summarize(self, experiment: ExperimentConfig, model: ModelConfig, dataset: str) -> ExperimentResults:
        """Write ``results.json`` of the runs that are done, by any process, and return its content.

        Raises:
            DataError: the result of a run is damaged.
        """
        # Without the lock the slower of two processes could leave out the run that the other has just finished.
        with locked(self._lock("results")):
            done = [self.run(number) for number in range(1, experiment.num_runs + 1) if self.done(number)]
            runs = [read_run_result(run) for run in done]
            results = ExperimentResults(
                runs=tuple(run.result for run in runs),
                **asdict(summarize_runs([run.result.test for run in runs], [run.accuracies for run in runs])),
                dataset=dataset,
                experiment=experiment,
                model=model,
                versions=versions(),
            )
            write_json(self.path / RESULTS_FILE, results.as_json())
        return results

    def _lock(self, name: str) -> Path:
        return self.path / LOCKS / name


def _in_use(run: Path) -> ConfigError:
    return ConfigError(
        f"{run}: another process is working on this run; wait for its end, or choose other runs with --runs"
    )
