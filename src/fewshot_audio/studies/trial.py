"""One training of a study: its folder is deleted afterwards, its network and its history are used."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.engine.history import AfterEpoch, Row
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.experiments.same_experiment import changed_settings
from fewshot_audio.experiments.start_run import start_run
from fewshot_audio.files import locked
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent


class FolderInUse(Exception):
    """Another process is working in the folder."""


@dataclass(frozen=True)
class TrialResult:
    """A trained network, one row of metrics per epoch, and the runtime (device, precision, threads) of the training."""

    network: FewShotNetwork
    history: list[Row]
    runtime: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Seconds of a typical epoch: the first one warms up, and another process may disturb some."""
        return sorted(row["seconds"] for row in self.history)[len(self.history) // 2]


@contextmanager
def working_on(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes; the lock of a process that is killed is released.

    Args:
        folder: created, once it is locked, if it does not exist; the lock file lies beside it.
        wait: if another process has the lock, wait for it instead of raising.

    Raises:
        FolderInUse: another process has the lock.
    """
    with locked(folder.with_name(f"{folder.name}.lock"), None if wait else FolderInUse()):
        folder.mkdir(parents=True, exist_ok=True)
        yield


def run_trial(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    dataset: Dataset,
    progress: Progress = silent,
    after_epoch: AfterEpoch | None = None,
) -> TrialResult:
    """Train with the experiment's seed, or continue after the last epoch that was finished in ``folder``.

    What another training left there, of a study that was stopped for good, is deleted.

    Errors of training and of ``after_epoch`` pass through; the folder stays as it is, so that the trial can continue.

    Args:
        folder: the run folder of the trial.
        experiment: the experiment config; its ``seed`` is the trial's.
        model: the complete model config, as ``check_training`` returns it.
        dataset: the classes to train on and to validate on.
        progress: called a few times a second.
        after_epoch: called after every epoch with the history; what it raises ends the training.
    """
    from fewshot_audio.engine.fit import train_run
    from fewshot_audio.engine.module import EpisodicTraining

    if not _is_same(folder, experiment, model, dataset):
        shutil.rmtree(folder)
    network, runtime = start_run(folder, experiment, model, experiment.seed, dataset)
    module = EpisodicTraining(network, experiment, dataset.data, experiment.seed)
    history = train_run(module, folder, progress, after_epoch=after_epoch)
    return TrialResult(network, history, runtime.as_json())


def _is_same(folder: Path, experiment: ExperimentConfig, model: ModelConfig, dataset: Dataset) -> bool:
    """Whether a folder holds no training yet, or this one."""
    if not (folder / RUN_FILE).exists():
        return True
    run = Run.read(folder)
    same_data = (run.seed, run.dataset) == (experiment.seed, dataset.fingerprint)
    return same_data and not changed_settings(run, experiment, model)[1]
