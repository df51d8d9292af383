"""A training whose folder is thrown away afterwards: what counts is the network and its history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.engine.checkpoint import AfterEpoch, nothing
from fewshot_audio.engine.history import Row
from fewshot_audio.engine.train import train_run
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.run_folder import RUN_FILE, Run
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.device import start_runtime

# Keys that say where and under which name a training runs, not what it is.
PLACE = {"data_root", "device", "gpu_index", "experiment_folder", "num_runs"}


class Busy(Exception):
    """Another process is at it."""


@dataclass(frozen=True)
class Trained:
    """A trained network, one row of metrics per epoch, and how it was computed."""

    network: FewShotNetwork
    history: list[Row]
    runtime: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Seconds of a typical epoch: the first one warms up, and another process may disturb some."""
        return sorted(row["seconds"] for row in self.history)[len(self.history) // 2]


@contextmanager
def working_on(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes off a folder; where one is at it, ``wait`` for it or raise Busy.

    A process that is killed lets go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=wait)
    except Timeout as error:
        raise Busy from error
    try:
        yield
    finally:
        lock.release()


def train_scratch(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    dataset: Dataset,
    progress: Progress = silent,
    after_epoch: AfterEpoch = nothing,
) -> Trained:
    """Train with the experiment's seed, going on from the last finished epoch that ``folder`` knows of.

    ``model`` is complete, as ``check_training`` returns it.

    Raises what ``train_run`` and ``after_epoch`` raise; the folder stays as it is then.
    """
    former = Run.read(folder).runtime if (folder / RUN_FILE).exists() else None
    runtime = start_runtime(experiment, former)
    shape, fingerprint, known = dataset.input_shape, dataset.fingerprint, dataset.preprocessing
    run = Run(folder, experiment, model, experiment.seed, shape, fingerprint, known, runtime.as_json())
    run.write()
    network = run.untrained_network()
    network.set_normalization(dataset.mean, dataset.std)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    history = train_run(network, experiment, dataset.data, experiment.seed, folder, progress, after_epoch=after_epoch)
    return Trained(network, history, runtime.as_json())
