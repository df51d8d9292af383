"""A study that several processes and machines share: its storage, its fingerprints, its lost trials."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from fewshot_audio.errors import ConfigError, WriteError

FINGERPRINTS, ALIVE, RETRY_OF, REASON = "of", "alive", "retry of", "reason"  # user attributes of studies and trials
LOST, STOPPED = "its worker was lost", "stopped"
BEATS = 6  # heartbeats that may be missing before a trial's worker counts as lost
MAX_RETRIES = 3  # a trial that kills its worker, for example by its memory, must not kill every worker
CREATION_SECONDS = 10.0  # for which the process that creates a database or a study is waited for
CREATED_MEANWHILE = re.compile("already exists|duplicate key|UNIQUE constraint")  # what databases say of a second one


def open_storage(url: str) -> BaseStorage:
    """Open a database (``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST/NAME``) or a journal file (a path).

    Raises:
        ConfigError: it cannot be used; the message hides passwords.
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
        # A trial takes minutes: an open connection saves nothing, and the server may close it in the meantime.
        options = {"poolclass": NullPool, "connect_args": {"timeout": 60} if lite else {}}
        return _create_database(address.render_as_string(hide_password=False), options)
    except ArgumentError as error:
        raise ConfigError(
            "storage: not a database URL such as sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        # Optuna's own errors about drivers are ImportErrors, SQLAlchemy's a class of their own
        raise ConfigError(f"storage {shown}: cannot be used ({_cause(error)})") from error


def _create_database(url: str, options: dict[str, Any]) -> RDBStorage:
    """Open a database, whose tables another process may be creating at this moment: Optuna does not expect that."""
    deadline = time.monotonic() + CREATION_SECONDS
    while True:
        try:
            return RDBStorage(url, engine_kwargs=options)
        except (SQLAlchemyError, StorageInternalError) as error:
            if not CREATED_MEANWHILE.search(_cause(error)) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _cause(error: Exception) -> str:
    """The first line of what a database said; Optuna's own error does not repeat it."""
    lines = str(error.__cause__ if isinstance(error, StorageInternalError) else error).splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def explained_storage() -> Iterator[None]:
    """Turn errors of the storage during a search, such as a full disk, into WriteError."""
    try:
        yield
    except StorageInternalError as error:
        raise WriteError(f"the storage of the study cannot be used: {_cause(error)}") from error


def open_study(
    storage: BaseStorage, name: str, fingerprints: dict[str, Any], first_values: dict[str, Any]
) -> optuna.Study:
    """Open a study, or create it.

    Args:
        storage: the storage.
        name: name of the study.
        fingerprints: of the configs, the space and the data, by name.
        first_values: values of the first trial of a new study; missing keys are sampled.

    Raises:
        ConfigError: the study was started with other fingerprints; names those that differ.
    """
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        former = None
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
        former = _wait_for_fingerprints(study)
    if former is None:  # they come last: a study without them may lack its first trial too
        if first_values:
            study.enqueue_trial(first_values, skip_if_exists=True)
        study.set_user_attr(FINGERPRINTS, fingerprints)
    elif former != fingerprints:
        keys = sorted(fingerprints.keys() | former.keys())
        differing = ", ".join(key for key in keys if fingerprints.get(key) != former.get(key))
        raise ConfigError(f"study {name!r} was started with another {differing}: give it another --study name")
    return study


def _wait_for_fingerprints(study: optuna.Study) -> dict[str, Any] | None:
    """The fingerprints of a study that another process may be creating at this moment; None if it was killed."""
    deadline = time.monotonic() + CREATION_SECONDS
    while (former := study.user_attrs.get(FINGERPRINTS)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return former


@contextmanager
def heartbeat(trial: optuna.Trial, stale_after: float) -> Iterator[None]:
    """Tell other processes that this one is working on the trial."""
    stopped = threading.Event()

    def beat() -> None:
        while True:
            try:
                trial.set_user_attr(ALIVE, time.time())
            except UpdateFinishedTrialError:
                return  # another process counted this one as lost
            except (StorageInternalError, OSError):
                pass  # the next one may succeed; if not, the thread that trains meets the error too
            if stopped.wait(stale_after / BEATS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def requeue_lost_trials(study: optuna.Study, stale_after: float) -> None:
    """Queue trials again if their workers had no heartbeat for ``stale_after`` seconds."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if time.time() - trial.user_attrs.get(ALIVE, started) > stale_after:
            fail_and_requeue(study, trial, LOST)


def fail_and_requeue(study: optuna.Study, trial: FrozenTrial | optuna.Trial, reason: str) -> None:
    """End a trial without a result and queue its values again: once, even if several processes try it."""
    storage = study._storage
    try:
        storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        if not storage.set_trial_state_values(trial._trial_id, TrialState.FAIL):
            return
    except UpdateFinishedTrialError:
        return
    first, trials = first_attempt(trial), study.get_trials(deepcopy=False)
    losses = sum(first_attempt(other) == first and other.user_attrs.get(REASON) == LOST for other in trials)
    if losses <= MAX_RETRIES:
        study.enqueue_trial(trials[trial.number].params, user_attrs={RETRY_OF: first})


def first_attempt(trial: FrozenTrial | optuna.Trial) -> int:
    """Number of the trial that this one repeats, or its own."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))
