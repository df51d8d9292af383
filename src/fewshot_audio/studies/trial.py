"""One training of a study: its folder is deleted afterwards, its network and its history are used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig, Role, keys_with
from fewshot_audio.engine.fit import train_run
from fewshot_audio.engine.history import AfterEpoch, Row
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.start_run import start_run
from fewshot_audio.files import locked
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent

PLACE = keys_with(Role.PLACE)


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


def describe_configs(experiment: ExperimentConfig, model: ModelConfig) -> list[dict[str, Any]]:
    """A pair of configs as the fingerprints of studies hash it: without defaults and without keys in ``PLACE``.

    The spelling is the former one, so that studies which version 0.1 started keep their fingerprints.
    """
    values = experiment.model_dump(exclude_defaults=True, exclude=PLACE)
    return [
        {key: former_spelling(value) for key, value in values.items()},
        model.model_dump(exclude_defaults=True),
    ]


def former_spelling(value: Any) -> Any:
    """A config value as version 0.1 spelled it."""
    return "centre_l2" if value == "center_l2" else value


@contextmanager
def working_on(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes; the lock of a process that is killed is released.

    Args:
        folder: created if it does not exist; the lock file lies beside it.
        wait: if another process has the lock, wait for it instead of raising.

    Raises:
        FolderInUse: another process has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock"), FolderInUse(), wait=wait):
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

    Errors of training and of ``after_epoch`` pass through; the folder stays as it is, so that the trial can continue.

    Args:
        folder: the run folder of the trial.
        experiment: the experiment config; its ``seed`` is the trial's.
        model: the complete model config, as ``check_training`` returns it.
        dataset: the classes to train on and to validate on.
        progress: called a few times a second.
        after_epoch: called after every epoch with the history; what it raises ends the training.
    """
    network, runtime = start_run(folder, experiment, model, experiment.seed, dataset)
    module = EpisodicTraining(network, experiment, dataset.data, experiment.seed)
    history = train_run(module, folder, progress, after_epoch=after_epoch)
    return TrialResult(network, history, runtime.as_json())
