"""One training of a cross-validation: a candidate on a fold, tested on the fold's classes, kept as one small file."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fewshot_audio.config import ExperimentConfig, read_json, validate
from fewshot_audio.crossval.plan import Candidate, Plan, judged
from fewshot_audio.development import hold_out, open_development
from fewshot_audio.errors import DataError
from fewshot_audio.evaluate import evaluate_phase
from fewshot_audio.experiment import Dataset
from fewshot_audio.files import write_json
from fewshot_audio.history import Row
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.results import ci95
from fewshot_audio.runs import RUN_FILE, Run, versions
from fewshot_audio.runtime import start_runtime
from fewshot_audio.train import Diverged, train_run

# They say where and under which name, not what: a training is the same without them.
PLACE = {"data_root", "device", "gpu_index", "experiment_folder", "num_runs"}


@dataclass(frozen=True)
class Training:
    """A candidate, trained for ``epochs`` without a fold's classes and tested on them."""

    plan: Plan
    candidate: Candidate
    fold: int
    epochs: int
    seed: int

    @property
    def experiment(self) -> ExperimentConfig:
        """The candidate's experiment with this training's length."""
        changes = {"num_epochs": self.epochs, "seed": self.seed}
        return validate(ExperimentConfig, self.candidate.experiment.model_dump() | changes, "crossval")

    @property
    def key(self) -> str:
        """Tells trainings apart by everything that their numbers depend on, names aside.

        Keys at their defaults are left out, so that a new option does not make former results another's.
        """
        protocol = self.plan.protocol
        values = {
            "experiment": self.experiment.model_dump(exclude_defaults=True, exclude=PLACE),
            "model": self.candidate.model.model_dump(exclude_defaults=True),
            "data": self.plan.fingerprint,
            "held out": self.plan.folds[self.fold],
            "tasks": [protocol.tasks, *protocol.shots],
            "seed": self.seed,  # a default is left out above
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def file(self) -> Path:
        """Where the result lies once the training is done."""
        return self.plan.folder / "trainings" / f"{self.key}.json"

    @property
    def result(self) -> dict[str, Any]:
        """The finished training's numbers."""
        return read_json(self.file)

    def run(self, progress: Progress = silent) -> bool:
        """Train and test unless that is done; False where another process is at it.

        A training that was killed goes on from its last finished epoch.
        """
        scratch = self.plan.folder / "under-way" / self.key
        scratch.mkdir(parents=True, exist_ok=True)
        lock = FileLock(scratch.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        try:
            if not self.file.exists():
                write_json(self.file, {**self._describe(), **_train_and_test(self, scratch, progress)})
            shutil.rmtree(scratch, ignore_errors=True)
        finally:
            lock.release()
        return True

    def _describe(self) -> dict[str, Any]:
        return {
            "candidate": self.candidate.name,
            "set": self.candidate.changes,
            "fold": self.fold + 1,
            "held_out": list(self.plan.folds[self.fold]),
            "epochs": self.epochs,
            "seed": self.seed,
            "versions": versions(),
        }


def _train_and_test(training: Training, scratch: Path, progress: Progress) -> dict[str, Any]:
    """Return the accuracy of each shot, or that the training diverged; the time of an episode; the parameters."""
    experiment, plan = training.experiment, training.plan
    development = open_development(plan.data_root, experiment)
    if development.fingerprint != plan.fingerprint:
        raise DataError(f"{development.folder.path} has changed since this cross-validation was started")
    dataset = hold_out(development, plan.folds[training.fold])
    former = Run.read(scratch).runtime if (scratch / RUN_FILE).exists() else None
    runtime = start_runtime(experiment, former)
    run = Run(
        scratch,
        experiment,
        training.candidate.model,
        training.seed,
        dataset.input_shape,
        plan.fingerprint,
        dataset.preprocessing,
        runtime.as_json(),
    )
    run.write()
    network = run.untrained_network()
    network.set_normalization(dataset.mean, dataset.std)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    parameters = sum(weights.numel() for weights in network.parameters())
    described = {"parameters": parameters, "runtime": runtime.as_json()}
    try:
        history = train_run(network, experiment, dataset.data, training.seed, scratch, progress)
    except Diverged as error:
        return {**described, "diverged": str(error)}
    tests = {
        str(shot): _test(network, judged(experiment, plan.protocol, shot), dataset) for shot in plan.protocol.shots
    }
    return {**described, "shots": tests, "seconds_per_episode": _seconds(history) / experiment.n_training_tasks}


def _test(network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset) -> dict[str, Any]:
    network.set_precision("fp32")
    accuracy = evaluate_phase(
        network,
        experiment,
        dataset.data.store,
        dataset.data.views,
        dataset.data.splits.test,
        "test",
        seed=experiment.test_seed,
        tasks=experiment.n_testing_tasks,
    ).accuracy
    return {"accuracy": float(accuracy.mean()), "ci95": ci95(accuracy), "tasks": len(accuracy)}


def _seconds(history: list[Row]) -> float:
    """Seconds of an epoch in the middle: the first one warms up, and another process may disturb some."""
    return sorted(row["seconds"] for row in history)[len(history) // 2]
