"""The search: trials until there are enough, each a training judged by validation accuracy alone."""

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
from fewshot_audio.engine.train import Diverged, Interrupted
from fewshot_audio.errors import ConfigError, DataError, FewShotError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.holdout import check_training, open_development
from fewshot_audio.studies.trial import PLACE, train_scratch, working_on
from fewshot_audio.studies.tune.space import Space, check_space, describe
from fewshot_audio.studies.tune.study import (
    REASON,
    STOPPED,
    first_of,
    give_up,
    heartbeat,
    open_storage,
    open_study,
    take_up_lost,
)

WAIT_SECONDS = 1.0
STARTUP_TRIALS = 4  # drawn at random and not pruned
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class TimeUp(FewShotError):
    """The search's time is over; its trial is queued again."""


@dataclass(frozen=True)
class Search:
    """What is searched: a space over a base pair, on the training and validation classes of a dataset."""

    folder: Path
    data_root: Path
    experiment: ExperimentConfig
    model: ModelConfig
    space: Space
    seed: int = 0
    stale_after: float = 60.0

    def open(self, storage: str, name: str, where: str, progress: Progress = silent) -> tuple[optuna.Study, Dataset]:
        """Open data and study and refuse everything that can be refused before any work.

        Raises ConfigError naming the key (``where`` is the space's file), or DataError.
        """
        dataset = open_development(self.data_root, self.experiment, progress)
        model = check_training(dataset, self.experiment, self.model, ("train", "validation"))
        check_space(self.space, self.experiment, self.model, dataset, where)
        configs = [
            self.experiment.model_dump(exclude_defaults=True, exclude=PLACE),
            model.model_dump(exclude_defaults=True),
        ]
        of = {"pair of configs": _digest(configs), "space": _digest(self.space.as_json()), "data": dataset.fingerprint}
        study = open_study(open_storage(storage), name, of, self.space.values_of(self.experiment, self.model))
        warm_up = max(2, self.experiment.num_epochs // 5)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        return study, dataset


def run_search(
    search: Search,
    study: optuna.Study,
    dataset: Dataset,
    trials: int,
    timeout: float | None = None,
    progress: Progress = silent,
) -> None:
    """Do trials until the study has ``trials`` finished ones (pruned ones included) or ``timeout`` seconds are over.

    Any number of processes may do so on one study. A trial whose worker is lost, or was stopped, is queued again and
    goes on from its last finished epoch where it shares the folder. Raises Interrupted on Ctrl-C.
    """
    deadline = time.monotonic() + timeout if timeout is not None else np.inf
    while time.monotonic() < deadline:
        take_up_lost(study, search.stale_after)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        done, running = sum(state in DONE for state in states), states.count(TrialState.RUNNING)
        if done >= trials:
            return
        if done + running >= trials:
            progress("waiting for other processes", done, trials)
            time.sleep(WAIT_SECONDS)
            continue
        trial = study.ask()
        label = f"trial {done + 1}/{trials}"
        try:
            _try(search, study, dataset, trial, deadline, _labeled(progress, label, study))
        except TimeUp:
            return


def _try(
    search: Search, study: optuna.Study, dataset: Dataset, trial: optuna.Trial, deadline: float, progress: Progress
) -> None:
    """Train a trial, reporting every epoch, and tell the study how it went."""

    reported: set[int] = set()

    def after_epoch(history: Sequence[Row]) -> None:
        for epoch in set(range(1, len(history) + 1)) - reported:  # several at once after a trial was taken up again
            trial.report(history[epoch - 1]["val_accuracy"], epoch)
            reported.add(epoch)
        if trial.should_prune() and len(history) < search.experiment.num_epochs:
            raise optuna.TrialPruned
        if time.monotonic() > deadline:
            raise TimeUp("time is up")

    # A trial's sampler is keyed by its number, so that a search repeats, whichever process takes which trial.
    key = np.random.SeedSequence([search.seed, trial.number]).generate_state(1)[0]
    study.sampler = optuna.samplers.TPESampler(seed=int(key), n_startup_trials=STARTUP_TRIALS)
    values = search.space.suggest(trial)
    scratch = search.folder / "under-way" / f"trial-{first_of(trial)}"
    state, value, reason = TrialState.PRUNED, None, ""
    try:
        with heartbeat(trial, search.stale_after), working_on(scratch, wait=True):
            configs = change_configs(search.experiment, search.model, values, "tune")
            data = open_development(search.data_root, configs[0])
            if data.fingerprint != dataset.fingerprint:
                raise DataError(f"{data.folders} has changed since this search was started")
            model = check_training(data, *configs, ("train", "validation"))
            history = train_scratch(scratch, configs[0], model, data, progress, after_epoch).history
            state, value = TrialState.COMPLETE, history[kept_epoch(configs[0], history) - 1]["val_accuracy"]
    except UpdateFinishedTrialError:
        return  # this process was taken for lost: another one has queued the trial again
    except optuna.TrialPruned:
        reason = "worse than the median"
    except Diverged as error:
        reason = str(error)
    except ConfigError as error:  # single values were checked, combinations show themselves here
        reason = f"{describe(values)}: {error}"
    except (KeyboardInterrupt, Interrupted, TimeUp, DataError):
        give_up(study, trial, STOPPED)
        raise
    if reason:
        trial.set_user_attr(REASON, reason)
    study.tell(trial, value, state, skip_if_finished=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _labeled(progress: Progress, label: str, study: optuna.Study) -> Progress:
    complete = [trial.value or 0 for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    best = f" (best so far {max(complete):.3f})" if complete else ""

    def report(description: str, done: int, total: int, details: str = "") -> None:
        progress(f"{label}{best}: {description}", done, total, details)

    return report


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
