"""A study that several processes and machines share: where it is kept, what it is of, and who is at which trial."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from fewshot_audio.errors import ConfigError

OF, ALIVE, RETRY_OF, REASON = "of", "alive", "retry of", "reason"  # user attributes of studies and trials
LOST, STOPPED = "its worker was lost", "stopped"
BEATS = 6  # signs of life before a trial's worker counts as lost
MAX_RETRIES = 3  # a trial that kills its worker, by its memory say, must not kill every worker


def open_storage(url: str) -> BaseStorage:
    """Open a database (``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST/NAME``) or a journal file (a path).

    Raises ConfigError for one that cannot be used; passwords are not repeated.
    """
    if "://" not in url:
        path = Path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    try:
        address = make_url(url)
        shown = address.render_as_string(hide_password=True)
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        lite = address.drivername.startswith("sqlite")
        # A trial takes minutes: nothing is gained by a connection kept open, which a server may drop meanwhile.
        options = {"poolclass": NullPool, "connect_args": {"timeout": 60} if lite else {}}
        return RDBStorage(address.render_as_string(hide_password=False), engine_kwargs=options)
    except ArgumentError as error:
        raise ConfigError(
            "storage: not a database URL such as sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    except (SQLAlchemyError, ImportError) as error:
        # Optuna's own errors about drivers are ImportErrors, SQLAlchemy's a class of their own
        raise ConfigError(f"storage {shown}: cannot be used ({str(error).splitlines()[0]})") from error


def open_study(storage: BaseStorage, name: str, of: dict[str, Any], start: dict[str, Any]) -> optuna.Study:
    """Open a study or create it; ``start`` (values of some keys) is its first trial.

    ``of`` describes what is searched by what. Raises ConfigError where the study is of something else, naming what
    differs.
    """
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    recorded = study.user_attrs.get(OF)
    if recorded is None:
        study.set_user_attr(OF, of)
        if start:
            study.enqueue_trial(start)
    elif recorded != of:
        differs = ", ".join(sorted(key for key in of.keys() | recorded.keys() if of.get(key) != recorded.get(key)))
        raise ConfigError(f"study {name!r} was started with another {differs}: give it another --study name")
    return study


@contextmanager
def heartbeat(trial: optuna.Trial, stale_after: float) -> Iterator[None]:
    """Let others know that this process is at a trial."""
    stopped = threading.Event()

    def beat() -> None:
        while True:
            try:
                trial.set_user_attr(ALIVE, time.time())
            except UpdateFinishedTrialError:
                return  # another process took this one for lost
            if stopped.wait(stale_after / BEATS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def take_up_lost(study: optuna.Study, stale_after: float) -> None:
    """Queue the trials again whose workers gave no sign of life for ``stale_after`` seconds."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if time.time() - trial.user_attrs.get(ALIVE, started) > stale_after:
            give_up(study, trial, LOST)


def give_up(study: optuna.Study, trial: FrozenTrial | optuna.Trial, reason: str) -> None:
    """End a trial without a result and queue its values again, once, whoever else may be about to do the same."""
    storage = study._storage
    try:
        storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        if not storage.set_trial_state_values(trial._trial_id, TrialState.FAIL):
            return
    except UpdateFinishedTrialError:
        return
    first, trials = first_of(trial), study.get_trials(deepcopy=False)
    lost = sum(first_of(other) == first and other.user_attrs.get(REASON) == LOST for other in trials)
    if lost <= MAX_RETRIES:
        study.enqueue_trial(trials[trial.number].params, user_attrs={RETRY_OF: first})


def first_of(trial: FrozenTrial | optuna.Trial) -> int:
    """The trial that this one repeats, or itself."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))
