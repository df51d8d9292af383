"""One training of a cross-validation: a candidate, trained without a fold's classes and tested on them."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.config import ExperimentConfig, read_json
from fewshot_audio.errors import DataError, Diverged
from fewshot_audio.experiments.evaluate_run import run_test
from fewshot_audio.experiments.frozen_encoders import with_embeddings
from fewshot_audio.experiments.versions import versions
from fewshot_audio.files import write_json
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.crossval.plan import Candidate, Plan, with_test_tasks, with_training
from fewshot_audio.studies.crossval.results import (
    DivergedTraining,
    ShotResult,
    TrainingResult,
    read_training_result,
)
from fewshot_audio.studies.fingerprint import describe_configs
from fewshot_audio.studies.holdout import hold_out, open_development
from fewshot_audio.studies.trial import FolderInUse, run_trial, working_on


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
        """The candidate's experiment with this training's length and seed."""
        return with_training(self.candidate.experiment, self.epochs, self.seed)

    @property
    def key(self) -> str:
        """A hash of everything that the training's numbers depend on; names are no part of it.

        Keys at their defaults are left out, so that former results stay valid when an option is added.
        """
        protocol = self.plan.protocol
        experiment, model = describe_configs(self.experiment, self.candidate.model)
        values = {
            "experiment": experiment,
            "model": model,
            "data": self.plan.fingerprint,
            "held out": self.plan.folds[self.fold],
            "tasks": [protocol.tasks, *protocol.shots],
            "seed": self.seed,  # the experiment's is left out if it is the default
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def file(self) -> Path:
        """The file that the result is written to."""
        return self.plan.folder / "trainings" / f"{self.key}.json"

    @property
    def result(self) -> TrainingResult | DivergedTraining:
        """The numbers of the finished training. Raises DataError if they are damaged, or of another training."""
        return read_training_result(self.file, read_json(self.file), self.plan.protocol.shots)

    def run(self, progress: Progress = silent) -> bool:
        """Train and test unless the result exists; False if another process is working on this training.

        A training that was killed continues after its last finished epoch.
        """
        try:
            with working_on(self._folder):
                if not self.file.exists():
                    write_json(
                        self.file, {**self._describe(), **_train_and_test(self, self._folder, progress).as_json()}
                    )
                shutil.rmtree(self._folder, ignore_errors=True)
        except FolderInUse:
            return False
        return True

    def remove_leftovers(self) -> None:
        """Remove what a process left that was killed between the result and the end of its work."""
        if self._folder.is_dir():
            with suppress(FolderInUse), working_on(self._folder):
                shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        """Where the training is under way."""
        return self.plan.folder / "under-way" / self.key

    def _describe(self) -> Mapping[str, object]:
        return {
            "candidate": self.candidate.name,
            "set": self.candidate.changes,
            "fold": self.fold + 1,
            "held_out": list(self.plan.folds[self.fold]),
            "epochs": self.epochs,
            "seed": self.seed,
            "versions": versions(),
        }


def _train_and_test(training: Training, folder: Path, progress: Progress) -> TrainingResult | DivergedTraining:
    experiment, plan = training.experiment, training.plan
    development = open_development(plan.data_root, experiment)
    if development.fingerprint != plan.fingerprint:
        raise DataError(f"{development.folders} has changed since this cross-validation was started")
    model = training.candidate.model
    dataset = with_embeddings(hold_out(development, plan.folds[training.fold]), experiment, model, progress)
    try:
        trial = run_trial(folder, experiment, model, dataset, progress)
    except Diverged as error:
        return DivergedTraining(str(error))
    tests = {
        shot: run_test(trial.network, with_test_tasks(experiment, plan.protocol, shot), dataset.data).accuracy
        for shot in plan.protocol.shots
    }
    return TrainingResult(
        shots={shot: ShotResult.of(accuracy) for shot, accuracy in tests.items()},
        train_loss=trial.history[-1]["train_loss"],
        train_accuracy=trial.history[-1]["train_accuracy"],
        seconds_per_episode=trial.seconds / experiment.n_training_tasks,
        parameters=sum(weights.numel() for weights in trial.network.parameters()),
        runtime=trial.runtime,
    )
