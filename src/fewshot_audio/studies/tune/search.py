"""The search: trials until there are enough, each a training whose result is its validation accuracy."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.engine.history import Row, kept_epoch
from fewshot_audio.errors import ConfigError, DataError, Diverged, FewShotError, Interrupted
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.frozen_encoders import with_embeddings
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.studies.fingerprint import describe_configs
from fewshot_audio.studies.holdout import check_training, open_development
from fewshot_audio.studies.trial import run_trial, working_on
from fewshot_audio.studies.tune.space import Space, check_space, values_as_text
from fewshot_audio.studies.tune.study import (
    REASON,
    STOPPED,
    explained_storage,
    fail_and_requeue,
    first_attempt,
    heartbeat,
    open_storage,
    open_study,
    requeue_lost_trials,
)

WAIT_SECONDS = 1.0
STARTUP_TRIALS = 4  # drawn at random and not pruned
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class TimeUp(FewShotError):
    """The time of the search is over."""


@dataclass(frozen=True)
class Search:
    """A search in a space around a base pair of configs, on the training and validation classes of a dataset.

    Attributes:
        folder: the folder of the results.
        data_root: the folder of the dataset folders.
        experiment: the experiment config of the base.
        model: the model config of the base.
        space: the keys to search and their values.
        seed: seed of the samplers.
        stale_after: seconds without a heartbeat after which a trial's worker counts as lost.
    """

    folder: Path
    data_root: Path
    experiment: ExperimentConfig
    model: ModelConfig
    space: Space
    seed: int = 0
    stale_after: float = 60.0

    def open(self, storage: str, name: str, source: str, progress: Progress = silent) -> tuple[optuna.Study, Dataset]:
        """Open the dataset and the study, and check the space before any training.

        Args:
            storage: a database URL or a journal file, as ``open_storage`` takes it.
            name: name of the study in its storage.
            source: the space's file, for messages.
            progress: called while the dataset is opened.

        Raises:
            ConfigError: the space does not fit, the storage cannot be used, or the study is of another search.
            DataError: the dataset is missing or damaged.
        """
        dataset = open_development(self.data_root, self.experiment, progress)
        model = check_training(dataset, self.experiment, self.model, ("train", "validation"))
        check_space(self.space, self.experiment, self.model, dataset, source)
        fingerprints = {
            "pair of configs": _digest(describe_configs(self.experiment, model)),
            "space": _digest(self.space.as_json()),
            "data": dataset.fingerprint,
        }
        first_values = self.space.values_of(self.experiment, self.model)
        with explained_storage():
            study = open_study(open_storage(storage), name, fingerprints, first_values)
        warm_up = max(2, self.experiment.num_epochs // 5)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        return study, dataset


@explained_storage()
def run_search(
    search: Search,
    study: optuna.Study,
    dataset: Dataset,
    trials: int,
    timeout: float | None = None,
    progress: Progress = silent,
) -> None:
    """Do trials until the study has enough finished ones.

    Any number of processes may do so on one study. A trial whose worker is lost or was stopped is queued again; it
    continues after its last finished epoch if the next worker shares the folder.

    Args:
        search: the search.
        study: the study that ``search.open`` returned.
        dataset: the dataset that ``search.open`` returned.
        trials: number of finished trials of the study, pruned ones included, at which to stop.
        timeout: seconds after which to stop; None for no limit.
        progress: called during every trial.

    Raises:
        Interrupted: Ctrl-C.
        DataError: the dataset has changed.
        WriteError: the storage cannot be written.
    """
    deadline = time.monotonic() + timeout if timeout is not None else np.inf
    while time.monotonic() < deadline:
        requeue_lost_trials(study, search.stale_after)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        finished, running = sum(state in FINISHED for state in states), states.count(TrialState.RUNNING)
        if finished >= trials:
            return
        if finished + running >= trials:
            progress("waiting for other processes", finished, trials)
            time.sleep(WAIT_SECONDS)
            continue
        trial = study.ask()
        complete = [other.value or 0 for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
        best = f" (best so far {max(complete):.3f})" if complete else ""
        report = prefixed(progress, f"trial {finished + 1}/{trials}{best}: ")
        try:
            _do_trial(search, study, dataset, trial, deadline, report)
        except TimeUp:
            return
        except UpdateFinishedTrialError:
            continue  # another process counted this one as lost and has queued the trial again


def _do_trial(
    search: Search, study: optuna.Study, dataset: Dataset, trial: optuna.Trial, deadline: float, progress: Progress
) -> None:
    """Train a trial, report every epoch, and tell the study the result."""
    reported: set[int] = set()

    def after_epoch(history: Sequence[Row]) -> None:
        for epoch in set(range(1, len(history) + 1)) - reported:  # several at once if a trial is continued
            trial.report(history[epoch - 1]["val_accuracy"], epoch)
            reported.add(epoch)
        if trial.should_prune() and len(history) < search.experiment.num_epochs:
            raise optuna.TrialPruned
        if time.monotonic() > deadline:
            raise TimeUp("time is up")

    # A trial's sampler is seeded by its number: a search is repeatable, whichever process does which trial.
    key = np.random.SeedSequence([search.seed, trial.number]).generate_state(1)[0]
    study.sampler = optuna.samplers.TPESampler(seed=int(key), n_startup_trials=STARTUP_TRIALS)
    values = search.space.suggest(trial)
    folder = search.folder / "under-way" / f"trial-{first_attempt(trial)}"
    state, value, reason = TrialState.PRUNED, None, ""
    try:
        with heartbeat(trial, search.stale_after), working_on(folder, wait=True):
            configs = change_configs(search.experiment, search.model, values, "tune")
            data = open_development(search.data_root, configs[0])
            if data.fingerprint != dataset.fingerprint:
                raise DataError(f"{data.folders} has changed since this search was started")
            model = check_training(data, *configs, ("train", "validation"))
            data = with_embeddings(data, configs[0], model, progress)
            history = run_trial(folder, configs[0], model, data, progress, after_epoch).history
            kept = kept_epoch(history, configs[0].optimization.keep)
            state, value = TrialState.COMPLETE, history[kept - 1]["val_accuracy"]
    except optuna.TrialPruned:
        reason = "worse than the median"
    except Diverged as error:
        reason = str(error)
    except ConfigError as error:  # single values were checked before, combinations are not
        reason = f"{values_as_text(values)}: {error}"
    except (KeyboardInterrupt, Interrupted, TimeUp, DataError):
        fail_and_requeue(study, trial, STOPPED)
        raise
    if reason:
        trial.set_user_attr(REASON, reason)
    study.tell(trial, value, state, skip_if_finished=True)
    shutil.rmtree(folder, ignore_errors=True)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
