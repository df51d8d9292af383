"""The search: judged by validation alone, pruned, resumed, shared through any storage, and written down."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from fewshot_audio.config import ModelConfig, read_configs
from fewshot_audio.config.recipes import recipe_configs
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.errors import ConfigError, Diverged, FewShotError, Interrupted
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.files import write_json
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.fingerprint import describe_configs
from fewshot_audio.studies.tune import search as search_module
from fewshot_audio.studies.tune import study as study_module
from fewshot_audio.studies.tune.outcome import complete_trials, importances, write_outcome, write_plots
from fewshot_audio.studies.tune.search import Search, run_search
from fewshot_audio.studies.tune.space import Space, read_space
from fewshot_audio.studies.tune.study import open_storage, requeue_lost_trials
from tests.studies.search import postgres
from tests.tiny import tiny_configs, write_tiny_dataset

LR: dict[str, Any] = {"lr": {"float": [1e-4, 0.5], "log": True}}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place to keep a study."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return str(tmp_path / "study.log") if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


def space_of(folder: Path, entries: dict[str, Any]) -> Space:
    write_json(folder / "space.json", entries)
    return read_space(folder / "space.json")


def a_search(
    root: Path, folder: Path, entries: dict[str, Any] = LR, changes: dict[str, Any] | None = None, **options: Any
) -> Search:
    return Search(folder / "out", root, *tiny_configs(changes), space_of(folder, entries), **options)


def go(
    search: Search,
    trials: int,
    storage: str | None = None,
    name: str = "s",
    progress: Progress = silent,
    **options: Any,
) -> optuna.Study:
    study, dataset = search.open(storage or str(search.folder / "study.log"), name, "space.json")
    run_search(search, study, dataset, trials, progress=progress, **options)
    return study


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float], Sequence[float]]], list[float]]:
    """Instead of training, validation accuracies per epoch of a learning rate; returns those that were trained."""

    def script(accuracies: Callable[[float], Sequence[float]]) -> list[float]:
        trained: list[float] = []

        def pretend(folder: Path, experiment: Any, model: Any, dataset: Dataset, progress: Any, after: Any) -> Any:
            trained.append(experiment.lr)
            history: list[dict[str, float]] = []
            for accuracy in accuracies(experiment.lr):
                history.append({"val_accuracy": accuracy})
                after(history)
            return type("TrialResult", (), {"history": history})

        monkeypatch.setattr(search_module, "run_trial", pretend)
        return trained

    return script


Script = Callable[[Callable[[float], Sequence[float]]], list[float]]

# -- the objective -----------------------------------------------------------------------------------------------------


def test_no_test_class_is_read_and_a_trial_is_worth_its_best_validation(
    tiny_dataset: Path,
    tmp_path: Path,
    classes_read: Callable[[], set[str]],
    splits: Splits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validated: list[Any] = []

    def spy(system: NetworkSystem, protocol: TaskProtocol) -> Any:
        scores = evaluate_network(system, protocol)
        classes = system.data.splits[protocol.phase]
        validated.append((classes, protocol.phase, scores.accuracy.mean()))
        return scores

    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", spy)
    study = go(a_search(tiny_dataset, tmp_path), 2)
    assert classes_read() <= set(splits.train + splits.validation)
    assert classes_read() & set(splits.train)
    assert classes_read() & set(splits.validation)
    assert {(classes, phase) for classes, phase, _ in validated} == {(splits.validation, "validation")}
    epochs = 2
    assert len(validated) == epochs * len(study.trials)
    for number, trial in enumerate(study.trials):  # one after the other
        scores = [accuracy for *_, accuracy in validated[number * epochs : (number + 1) * epochs]]
        assert trial.value == max(scores)
        assert trial.intermediate_values == dict(enumerate(scores, start=1))
    assert study.trials[0].params == {"lr": 0.005}  # the base comes first
    assert study.trials[1].params["lr"] != 0.005


def test_a_search_repeats_and_another_seed_searches_elsewhere(
    tiny_dataset: Path, tmp_path: Path, scripted: Script
) -> None:
    trained = scripted(lambda lr: [0.5 - abs(lr - 0.01)])
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        go(a_search(tiny_dataset, tmp_path, seed=seed), 8, name=name)
    assert trained[:8] == trained[8:16]
    assert trained[0] == trained[16]
    assert not set(trained[1:8]) & set(trained[17:])
    assert min(abs(lr - 0.01) for lr in trained[5:8]) < 0.05


def test_bad_trials_are_pruned_and_never_at_their_last_epoch(
    tiny_dataset: Path, tmp_path: Path, scripted: Script
) -> None:
    def accuracies(lr: float) -> Sequence[float]:
        return [0.9] * 6 if lr == 0.005 else [lr / 10] * 6

    scripted(accuracies)
    study = go(a_search(tiny_dataset, tmp_path, changes={"num_epochs": 6}), 12)
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert all(2 <= len(trial.intermediate_values) < 6 for trial in pruned)
    assert {trial.user_attrs["reason"] for trial in pruned} == {"worse than the median"}
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials[:4])


def test_what_diverges_or_cannot_be_built_counts_as_bad(tiny_dataset: Path, tmp_path: Path, scripted: Script) -> None:
    def accuracies(lr: float) -> Sequence[float]:
        raise Diverged("training diverged")

    scripted(accuracies)
    (trial,) = go(a_search(tiny_dataset, tmp_path), 1).trials
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.PRUNED, "training diverged")
    shots = {"n_shot_train": {"int": [2, 11]}}  # a class has 12 clips: 11 shots leave too few for 2 queries
    with pytest.raises(ConfigError, match=r"'n_shot_train' = 11: .*smaller classes"):
        go(a_search(tiny_dataset, tmp_path, shots), 1)
    both = {"loss.cpl.m_param": {"int": [1, 4]}, "n_query_train": {"int": [2, 4]}}  # 4 negatives need 4 queries
    base = tiny_configs({"n_query_train": 4, "loss.cpl.m_param": 1}, scenario=4)
    search = Search(tmp_path / "both", tiny_dataset, *base, space_of(tmp_path, both))
    scripted(lambda lr: [0.5])
    trials = go(search, 12).trials
    refused = [trial for trial in trials if trial.params["loss.cpl.m_param"] > trial.params["n_query_train"]]
    assert refused
    assert all(trial.state == TrialState.PRUNED for trial in refused)
    assert all("the largest possible value is" in trial.user_attrs["reason"] for trial in refused)
    assert {trial.state for trial in trials if trial not in refused} == {TrialState.COMPLETE}


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_a_study_goes_on_where_it_stopped(tiny_dataset: Path, tmp_path: Path, storage: str, scripted: Script) -> None:
    trained = scripted(lambda lr: [lr])
    search = a_search(tiny_dataset, tmp_path)
    go(search, 3, storage, "on")
    assert len(trained) == 3
    study = go(search, 5, storage, "on")
    assert len(trained) == len(set(trained)) == len(study.trials) == 5
    go(search, 5, storage, "on")
    assert len(trained) == 5


def test_a_study_of_something_else_is_refused(tiny_dataset: Path, tmp_path: Path, scripted: Script) -> None:
    scripted(lambda lr: [lr])
    go(a_search(tiny_dataset, tmp_path), 1)
    with pytest.raises(ConfigError, match="study 's' was started with another pair of configs: give it another"):
        go(a_search(tiny_dataset, tmp_path, changes={"num_epochs": 9}), 1)
    with pytest.raises(ConfigError, match="another space"):
        go(a_search(tiny_dataset, tmp_path, {"lr": {"float": [0.001, 0.1]}}), 1)
    other = tmp_path / "other"
    write_tiny_dataset(other, seed=1)
    (other / "Tiny" / "features" / "class-00" / "clip-00.npy").unlink()
    with pytest.raises(ConfigError, match="another data"):
        go(a_search(other, tmp_path), 1)


def test_a_study_that_several_processes_create_at_once_has_one_first_trial(tmp_path: Path) -> None:
    """Threads with storages of their own stand for the processes."""
    for attempt in range(5):
        url, together = f"sqlite:///{tmp_path / str(attempt)}.db", threading.Barrier(4)

        def create(url: str = url, together: threading.Barrier = together) -> int:
            together.wait()
            storage = open_storage(url)
            return len(study_module.open_study(storage, "s", {"space": "x"}, {"lr": 0.1}).trials)

        with ThreadPoolExecutor(4) as threads:
            trials = [future.result() for future in [threads.submit(create) for _ in range(4)]]
        assert trials == [1, 1, 1, 1]


def test_a_study_whose_creator_was_killed_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "CREATION_SECONDS", 0.2)
    for first_trial in (False, True):
        storage = open_storage(str(tmp_path / f"{first_trial}.log"))
        study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
        if first_trial:
            study.enqueue_trial({"lr": 0.1})
        study = study_module.open_study(storage, "s", {"space": "x"}, {"lr": 0.1})
        assert len(study.trials) == 1
        assert study.user_attrs[study_module.FINGERPRINTS] == {"space": "x"}


def test_a_study_of_version_0_1_keeps_its_fingerprints() -> None:
    """The literal is what version 0.1 computed."""
    experiment, model = recipe_configs("ESC-50-master", "best", "Hybrid")
    as_then = {"embedding_transform": "center_l2", "num_runs": 8}  # in that version's recipe
    configs = describe_configs(experiment.model_copy(update=as_then), model)
    assert search_module._digest(configs) == "e2e5c987cf1dd6fc"


@pytest.mark.parametrize("key", ["in_channels", "hidden_channels", "Attention.embed_dim"])
def test_what_a_file_leaves_out_is_in_the_fingerprint_as_if_it_were_given(key: str) -> None:
    experiment, model = recipe_configs("ESC-50-master", "best", "CNN")
    values = model.model_dump()
    if key == "Attention.embed_dim":
        values["Attention"].pop("embed_dim", None)
    else:
        values["CNN"].pop(key, None)
    left_out = ModelConfig.model_validate(values)
    given = values | {
        "CNN": values["CNN"] | {"in_channels": 1, "hidden_channels": 64},
        "Attention": values["Attention"] | {"embed_dim": 64},
    }
    assert describe_configs(experiment, left_out) == describe_configs(experiment, ModelConfig.model_validate(given))
    assert describe_configs(experiment, left_out)[1]["CNN"]["in_channels"] == 1


def test_the_trial_of_a_lost_worker_is_taken_up_once(
    tiny_dataset: Path, tmp_path: Path, storage: str, scripted: Script
) -> None:
    trained = scripted(lambda lr: [lr])
    search = a_search(tiny_dataset, tmp_path, stale_after=1.0)
    study, _ = search.open(storage, "lost", "space.json")
    lost = study.ask()  # the worker that asked dies without a sign of life
    values = search.space.suggest(lost)
    requeue_lost_trials(study, 1000)
    assert study.trials[0].state == TrialState.RUNNING
    time.sleep(1.1)
    for _ in range(2):
        requeue_lost_trials(study, 1.0)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    study = go(search, 2, storage, "lost")
    assert study.trials[1].params == values
    assert study.trials[1].user_attrs["retry of"] == 0
    assert study.trials[0].user_attrs["reason"] == "its worker was lost"
    assert trained[0] == values["lr"]
    assert [trial.state for trial in study.trials[1:]] == [TrialState.COMPLETE] * 2


def test_a_sign_of_life_keeps_a_trial(tiny_dataset: Path, tmp_path: Path, storage: str) -> None:
    study, _ = a_search(tiny_dataset, tmp_path).open(storage, "alive", "space.json")
    trial = study.ask()
    with study_module.heartbeat(trial, 3.0):
        time.sleep(3.3)
        requeue_lost_trials(study, 3.0)
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_a_trial_that_kills_its_workers_is_left_at_last(tiny_dataset: Path, tmp_path: Path) -> None:
    study, _ = a_search(tiny_dataset, tmp_path).open(str(tmp_path / "log"), "deadly", "space.json")
    for _ in range(study_module.MAX_RETRIES + 1):
        trial = study.ask()
        assert study_module.first_attempt(trial) == 0
        study_module.fail_and_requeue(study, trial, study_module.LOST)
    assert all(trial.state == TrialState.FAIL for trial in study.trials)
    assert study.ask().user_attrs == {}  # another one


def test_a_worker_that_was_taken_for_lost_gives_way(tiny_dataset: Path, tmp_path: Path, scripted: Script) -> None:
    search = a_search(tiny_dataset, tmp_path)
    studies: list[optuna.Study] = []

    def accuracies(lr: float) -> Sequence[float]:
        study = studies[0]
        running = study.get_trials(states=(TrialState.RUNNING,))[0]
        if running.number == 0:
            study_module.fail_and_requeue(study, running, study_module.LOST)
        return [lr]

    scripted(accuracies)
    study, dataset = search.open(str(tmp_path / "log"), "s", "space.json")
    studies.append(study)
    run_search(search, study, dataset, 1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_stopped_trial_goes_on_from_its_last_epoch(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot_audio.engine.checkpoint.REPORT_SECONDS", 0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = go(a_search(tiny_dataset, tmp_path / "whole", changes={"num_epochs": 3}), 1)
    search = a_search(tiny_dataset, tmp_path / "parts", changes={"num_epochs": 3})

    def stop(description: str, done: int, total: int, details: str = "") -> None:
        if done == 5:  # of 2 tasks in each of 3 epochs
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        go(search, 1, progress=stop)
    seen: list[int] = []
    study = go(search, 1, progress=lambda description, done, total, details="": seen.append(done))
    assert min(seen) == 5  # two epochs were kept
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert study.trials[1].value == whole.trials[0].value
    assert study.trials[1].intermediate_values == whole.trials[0].intermediate_values
    assert not [path for path in (search.folder / "under-way").iterdir() if path.is_dir()]


def test_time_is_up(tiny_dataset: Path, tmp_path: Path, scripted: Script) -> None:
    def accuracies(lr: float) -> Iterator[float]:
        while True:
            time.sleep(0.02)
            yield 0.5

    scripted(accuracies)  # type: ignore[arg-type]
    study = go(a_search(tiny_dataset, tmp_path), 5, timeout=0.2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_two_workers_share_a_database_and_one_is_killed(tiny_dataset: Path, tmp_path: Path, postgresql: str) -> None:
    changes = {"num_epochs": 25, "n_training_tasks": 3}
    search = a_search(tiny_dataset, tmp_path, changes=changes, stale_after=3.0)
    files = tmp_path / "e.json", tmp_path / "m.json"
    for path, config in zip(files, (search.experiment, search.model), strict=True):
        write_json(path, config.model_dump())
    arguments = ["-e", files[0], "-m", files[1], "--space", tmp_path / "space.json", "--data-root", tiny_dataset]
    arguments += ["--storage", postgresql, "--study", "killed", "--trials", 2, "--stale-after", 3, "-o", search.folder]
    command = [sys.executable, "-c", "from fewshot_audio.cli import main; main()", "tune", *map(str, arguments)]
    study, dataset = search.open(postgresql, "killed", "space.json")
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not (epochs := [len(trial.intermediate_values) for trial in study.trials]) or max(epochs) < 2:
            assert worker.poll() is None, worker.stderr.read() if worker.stderr else ""
            time.sleep(0.05)
        victim = study.trials[0].number
        killed = threading.Event()

        def kill(*_: Any, **__: Any) -> None:  # while this worker is at a trial of its own
            if not killed.is_set() and len(study.get_trials(states=(TrialState.RUNNING,))) == 2:
                os.kill(worker.pid, signal.SIGKILL)
                killed.set()

        run_search(search, study, dataset, 2, progress=kill)
    finally:
        worker.kill()
        worker.communicate()
    assert killed.is_set()
    trials = study.trials
    assert (trials[victim].state, trials[victim].user_attrs["reason"]) == (TrialState.FAIL, "its worker was lost")
    (retry,) = [trial for trial in trials if trial.user_attrs.get("retry of") == victim]
    assert retry.params == trials[victim].params
    assert retry.intermediate_values.items() >= trials[victim].intermediate_values.items()
    assert sum(trial.state in search_module.FINISHED for trial in trials) == 2


# -- what is written ---------------------------------------------------------------------------------------------------


def test_the_best_pair_is_ready_to_train(tiny_dataset: Path, tmp_path: Path, scripted: Script) -> None:
    scripted(lambda lr: [0.5 - abs(lr - 0.02)])
    search = a_search(tiny_dataset, tmp_path, {**LR, "Projection.hidden_dim": {"int": [4, 8]}})
    study = go(search, 6)
    base = search.experiment.model_copy(update={"num_epochs": 77})
    folder = write_outcome(search, study, base)
    assert folder is not None
    experiment, model = read_configs(folder / "experiment_config.json", folder / "model_config.json")
    best = complete_trials(study)[0]
    assert best.value == study.best_value
    assert (experiment.lr, model.Projection.hidden_dim) == (best.params["lr"], best.params["Projection.hidden_dim"])
    assert (experiment.num_epochs, experiment.experiment_folder) == (77, "tiny_tuned")
    rows = list(csv.DictReader((search.folder / "trials.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert [float(row["lr"]) for row in rows] == [trial.params["lr"] for trial in study.trials]
    assert float(rows[0]["validation_accuracy"]) == study.trials[0].value

    shares = importances(study)
    assert set(shares) == set(search.space.dimensions)
    assert sum(shares.values()) == pytest.approx(1)
    plots = write_plots(search, study)
    assert [path.name for path in plots] == ["history.png", "importance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


def test_without_a_result_there_is_no_pair_and_no_plot(tiny_dataset: Path, tmp_path: Path) -> None:
    search = a_search(tiny_dataset, tmp_path)
    study, _ = search.open(str(tmp_path / "log"), "s", "space.json")
    assert write_outcome(search, study, search.experiment) is None
    assert write_plots(search, study) == []
    assert not (search.folder / "best").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://x", "not a database URL"),
        ("sqlite:////no/such/folder/x.db", "sqlite:////no/such/folder/x.db: cannot be used"),
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:\\*\\*\\*@127.0.0.1:1/x: cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        open_storage(url)
    assert "secret" not in str(error.value)


def test_an_absent_matplotlib_is_named(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search(tiny_dataset, tmp_path)
    study, _ = search.open(str(tmp_path / "log"), "s", "space.json")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FewShotError, match="fewshot-audio\\[plots\\]"):
        write_plots(search, study)
    assert json.loads((tmp_path / "space.json").read_text()) == LR
