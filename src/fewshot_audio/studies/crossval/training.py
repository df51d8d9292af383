"""One training of a cross-validation: a candidate on a fold, tested on the fold's classes, kept as one small file."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.config import ExperimentConfig, read_json
from fewshot_audio.engine.train import Diverged
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.evaluate_run import run_test
from fewshot_audio.experiments.run_folder import versions
from fewshot_audio.files import write_json
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.crossval.plan import Candidate, Plan, judged, trained
from fewshot_audio.studies.holdout import hold_out, open_development
from fewshot_audio.studies.trial import PLACE, Busy, train_scratch, working_on


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
        return trained(self.candidate.experiment, self.epochs, self.seed)

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
        try:
            with working_on(scratch):
                if not self.file.exists():
                    write_json(self.file, {**self._describe(), **_train_and_test(self, scratch, progress)})
                shutil.rmtree(scratch, ignore_errors=True)  # another process may have seen to that
        except Busy:
            return False
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
    """Return the accuracy of each shot, the time of an episode and the parameters, or that the training diverged."""
    experiment, plan = training.experiment, training.plan
    development = open_development(plan.data_root, experiment)
    if development.fingerprint != plan.fingerprint:
        raise DataError(f"{development.folders} has changed since this cross-validation was started")
    dataset = hold_out(development, plan.folds[training.fold])
    try:
        outcome = train_scratch(scratch, experiment, training.candidate.model, dataset, progress)
    except Diverged as error:
        return {"diverged": str(error)}
    network, shots = outcome.network, plan.protocol.shots
    return {
        "shots": {str(shot): _test(network, judged(experiment, plan.protocol, shot), dataset) for shot in shots},
        **{key: outcome.history[-1][key] for key in ("train_loss", "train_accuracy")},  # does it learn by heart?
        "seconds_per_episode": outcome.seconds / experiment.n_training_tasks,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "runtime": outcome.runtime,
    }


def _test(network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset) -> dict[str, Any]:
    accuracy = run_test(network, experiment, dataset).accuracy
    return {"accuracy": float(accuracy.mean()), "ci95": ci95(accuracy), "tasks": len(accuracy)}
