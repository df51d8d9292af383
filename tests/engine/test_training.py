"""Training: its schedule, what it writes, that it repeats to the bit, and that no interruption shows in the end."""

import importlib.metadata
import json
import math
import random
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.cli import main
from fewshot_audio.config import ExperimentConfig, ModelConfig, with_widths
from fewshot_audio.engine import checkpoint
from fewshot_audio.engine.episode_loss import EpisodeResult, episode_loss
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.engine.history import best_epoch, is_finished
from fewshot_audio.engine.optimizer import learning_rate
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.errors import ConfigError, DataError, FewShotError, Interrupted
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.results import ExperimentResults
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from tests.engine.comparison import metrics, outcome, run_outcome, tensors
from tests.engine.job import PATIENCE, Job, after, until
from tests.shell import _logging  # noqa: F401
from tests.tiny import tiny_configs

Configs = tuple[ExperimentConfig, ModelConfig]

# -- the schedule ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 12), unique=True).map(sorted), st.floats(0.05, 1.5), st.floats(1e-5, 1.0))
def test_the_learning_rate_is_multi_step_lr(milestones: list[int], gamma: float, lr: float) -> None:
    experiment, _ = tiny_configs({"lr": lr, "scheduler_gamma": gamma, "scheduler_milestones": milestones})
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma)
    for epoch in range(15):
        assert learning_rate(experiment, epoch) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


def rows(accuracies: Sequence[float]) -> list[dict[str, float]]:
    return [{"val_accuracy": accuracy} for accuracy in accuracies]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([0.2, 0.4, 0.6]), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 12))
def test_early_stopping_by_patience(accuracies: list[float], patience: int, num_epochs: int) -> None:
    best, best_at, since = -math.inf, 0, 0
    for epoch, accuracy in enumerate(accuracies, start=1):
        if accuracy > best:  # strictly
            best, best_at, since = accuracy, epoch, 0
        else:
            since += 1
        history = rows(accuracies[:epoch])
        assert best_epoch(history) == best_at
        assert is_finished(history, num_epochs=num_epochs, patience=patience, keep="best") == (
            epoch >= num_epochs or since >= patience
        )


def test_nothing_is_finished_before_the_first_epoch() -> None:
    assert not is_finished([], num_epochs=1, patience=1, keep="last")


# -- one run, its validation scripted ----------------------------------------------------------------------------------

SCRIPT = (0.3, 0.7, 0.5, 0.7, 0.2, 0.9)  # the best is epoch 2: 0.7 again is no improvement; patience 3 ends at epoch 5


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation accuracies as in SCRIPT."""
    script = iter(SCRIPT)

    def evaluate(*arguments: Any, **options: Any) -> TaskScores:
        scores = evaluate_network(*arguments, **options)
        return scores._replace(accuracy=np.full_like(scores.accuracy, next(script)))

    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", evaluate)


class Epochs:
    """A progress hook that keeps the training state of every epoch as it was written."""

    def __init__(self, run: Path) -> None:
        self.file = run / "state.pt"
        self.states: list[dict[str, Any]] = []

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            if len(state["history"]) > len(self.states):
                self.states.append(state)


@pytest.fixture
def every_step_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "REPORT_SECONDS", 0)


@pytest.mark.usefixtures("scripted", "every_step_reports")
def test_the_best_epoch_is_kept_and_patience_ends_training(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "tiny" / "run-1"
    changes = {"num_epochs": 6, "patience": 3, "scheduler_milestones": [2, 4], "scheduler_gamma": 0.5}
    epochs = Epochs(run)
    results = run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path, progress=epochs)

    result = results.runs[0]
    assert (result.best_epoch, result.kept_epoch, result.epochs) == (2, 2, 5)
    assert result.val_accuracy == pytest.approx(0.7)
    rows = metrics(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [float(row["val_accuracy"]) for row in rows] == pytest.approx(SCRIPT[:5])
    rates = [0.005, 0.005, 0.0025, 0.0025, 0.00125]
    assert [float(row["lr"]) for row in rows] == pytest.approx(rates)

    states = epochs.states
    assert [state["optimizer"]["param_groups"][0]["lr"] for state in states] == pytest.approx(rates)
    steps = [state["optimizer"]["state"][0]["step"].item() for state in states]
    assert steps == [2, 4, 6, 8, 10]  # one step a task
    best = torch.load(run / "model.pt", weights_only=True)
    same = [all(torch.equal(best[name], value) for name, value in state["network"].items()) for state in states]
    assert same == [False, True, False, False, False]
    network = Run.read(run).trained_network()
    assert all(torch.equal(best[name], value) for name, value in network.state_dict().items())


@pytest.mark.usefixtures("scripted")
def test_the_last_epoch_is_kept_where_that_is_asked_for(tiny_dataset: Path, tmp_path: Path) -> None:
    changes = {"num_epochs": 5, "patience": 1, "optimization": {"keep": "last"}}
    result = run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path).runs[0]
    run = tmp_path / "tiny" / "run-1"
    assert (result.best_epoch, result.kept_epoch, result.epochs) == (2, 5, 5)
    assert result.val_accuracy == pytest.approx(SCRIPT[4])
    kept = torch.load(run / "model.pt", weights_only=True)
    last = torch.load(run / "state.pt", weights_only=True)["network"]
    assert all(torch.equal(kept[name], value) for name, value in last.items())


@pytest.mark.usefixtures("every_step_reports")
def test_progress_tells_loss_and_accuracy(tiny_dataset: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    run_experiment(
        *tiny_configs({"num_runs": 2}), tiny_dataset, tmp_path, progress=lambda *report: said.append((*report, "")[:4])
    )
    for run in ("1/2", "2/2"):
        training = [report for report in said if report[0] == f"run {run}: training"]
        assert [(done, total) for _, done, total, _ in training] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert all("loss" in details and "accuracy" in details for *_, details in training)
        assert any(report[0] == f"run {run}: embedding" for report in said)


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExperimentResults]:
    """Folder and results of an undisturbed experiment of two runs with everything switched on."""
    output = tmp_path_factory.mktemp("two-runs")
    results = run_experiment(*everything(), tiny_dataset, output)
    return output / "tiny", results


def everything(changes: dict[str, Any] | None = None) -> Configs:
    """Views, attention, contrastive loss, vote: whatever draws random numbers."""
    switched = {"num_runs": 2, "num_epochs": 3, "n_training_tasks": 3, "multi_segm": True, "n_testing_tasks": 5}
    return tiny_configs(switched | (changes or {}), scenario=5)


def test_results_json(two_runs: tuple[Path, ExperimentResults]) -> None:
    folder, summary = two_runs
    results = json.loads((folder / "results.json").read_text())
    assert summary.as_json() == results
    assert set(results) >= {"runs", "accuracy", "ci95", "std_over_runs", "dataset", "config", "versions"}
    accuracies = [np.load(folder / f"run-{i}" / "test_accuracies.npy") for i in (1, 2)]
    for number, (run, tasks) in enumerate(zip(results["runs"], accuracies, strict=True)):
        assert run["seed"] == number
        assert 1 <= run["best_epoch"] == run["kept_epoch"] <= run["epochs"] == 3
        rows = metrics(folder / f"run-{number + 1}")
        assert run["val_accuracy"] == max(float(row["val_accuracy"]) for row in rows)
        assert run["val_accuracy"] == float(rows[run["best_epoch"] - 1]["val_accuracy"])
        assert run["seconds"] > 0
        test = run["test"]
        assert (test["tasks"], test["n_way"], test["n_shot"], test["n_query"]) == (5, 3, 2, 2)
        assert tasks.shape == (5,)
        assert test["accuracy"] == pytest.approx(tasks.mean())
        assert test["std"] == pytest.approx(tasks.std())
        assert test["ci95"] == pytest.approx(1.96 * tasks.std() / math.sqrt(5))
    means = [tasks.mean() for tasks in accuracies]
    assert results["accuracy"] == pytest.approx(np.mean(means))
    assert results["std_over_runs"] == pytest.approx(np.std(means, ddof=1))
    assert results["ci95"] == pytest.approx(1.96 * np.std(np.concatenate(accuracies)) / math.sqrt(10))
    assert results["dataset"] == "Tiny"
    experiment, model = everything()
    complete = with_widths(experiment, model)
    assert results["config"] == {"experiment": experiment.model_dump(), "model": complete.model_dump()}
    assert results["versions"]["torch"] == importlib.metadata.version("torch")


def test_a_runs_folder(two_runs: tuple[Path, ExperimentResults]) -> None:
    folder, _ = two_runs
    experiment, model = everything()
    for number in (1, 2):
        run = folder / f"run-{number}"
        assert json.loads((run / "experiment_config.json").read_text()) == experiment.model_dump()
        assert json.loads((run / "model_config.json").read_text()) == with_widths(experiment, model).model_dump()
        state = torch.load(run / "model.pt", weights_only=True)
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        columns = {"epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "contrastive_loss"}
        assert set(metrics(run)[0]) >= columns
        assert list((run / "tensorboard").glob("events.*"))
        assert not list(run.glob(".*.tmp"))


def test_a_run_is_tested_again_to_the_same_number(two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path) -> None:
    folder, results = two_runs
    for number in (1, 2):
        run = Run.read(folder / f"run-{number}")
        again = evaluate_run(run, tiny_dataset, run.experiment)
        assert asdict(again) == {**asdict(results.runs[number - 1].test), "dataset": "Tiny"}


def test_the_untrained_network_is_where_the_run_started(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.read(two_runs[0] / "run-2")
    tested: list[dict[str, torch.Tensor]] = []

    def spy(system: NetworkSystem, *arguments: Any, **options: Any) -> TaskScores:
        tested.append({name: value.clone() for name, value in system.network.state_dict().items()})
        return evaluate_network(system, *arguments, **options)

    monkeypatch.setattr("fewshot_audio.experiments.evaluate_run.evaluate_network", spy)
    evaluate_run(run, tiny_dataset, run.experiment, system="untrained")
    evaluate_run(run, tiny_dataset, run.experiment)
    start, end = run.untrained_network().state_dict(), run.trained_network().state_dict()
    learned = [name for name in start if not name.startswith("norm_")]
    assert all(torch.equal(tested[0][name], start[name]) for name in learned)
    assert all(torch.equal(tested[1][name], end[name]) for name in end)
    assert tested[0]["norm_mean"] == tested[1]["norm_mean"] != 0


def test_bf16_is_for_training_only(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, str]] = []

    def spy(system: NetworkSystem, *arguments: Any, **options: Any) -> TaskScores:
        used.append((system.phase, system.network.encoder.precision))
        return evaluate_network(system, *arguments, **options)

    monkeypatch.setattr("fewshot_audio.experiments.evaluate_run.evaluate_network", spy)
    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", spy)
    experiment, model = tiny_configs({"precision": "bf16", "num_epochs": 1})
    run_experiment(experiment, model, tiny_dataset, tmp_path)
    assert used == [("validation", "bf16"), ("test", "fp32")]
    weights = torch.load(tmp_path / "tiny" / "run-1" / "model.pt", weights_only=True)
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}


# -- the same to the bit -----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, tmp_path: Path
) -> None:
    torch.rand(7)  # the state of the global generator is none of its business
    run_experiment(*everything(), tiny_dataset, tmp_path)
    assert outcome(tmp_path / "tiny") == outcome(two_runs[0])


def test_another_seed_gives_other_weights_and_run_i_has_seed_plus_i(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, tmp_path: Path
) -> None:
    first, second = (two_runs[0] / f"run-{i}" for i in (1, 2))
    assert tensors(first / "model.pt") != tensors(second / "model.pt")
    assert metrics(first) != metrics(second)
    run_experiment(*everything({"seed": 1, "num_runs": 1}), tiny_dataset, tmp_path)
    assert run_outcome(tmp_path / "tiny" / "run-1") == run_outcome(second)


# -- interruptions within the process ----------------------------------------------------------------------------------


class Interruption:
    """A progress hook that presses Ctrl-C at the first report that fits."""

    def __init__(self, fits: Callable[[str, int], bool]) -> None:
        self.fits = fits
        self.pressed = False

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        if not self.pressed and self.fits(description, done):
            self.pressed = True
            raise KeyboardInterrupt


MOMENTS: dict[str, tuple[str, int]] = {
    "first step": ("run 1/2: training", 1),
    "last step of the first epoch": ("run 1/2: training", 3),
    "second epoch": ("run 1/2: training", 5),
    "last step": ("run 1/2: training", 9),
    "testing": ("run 1/2: embedding", 1),
    "second run": ("run 2/2: training", 1),
    "testing the second run": ("run 2/2: embedding", 1),
}


@pytest.mark.usefixtures("every_step_reports")
@pytest.mark.parametrize(("step", "least"), MOMENTS.values(), ids=list(MOMENTS))
def test_an_interrupted_experiment_resumes_to_the_same_bits(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, tmp_path: Path, step: str, least: int
) -> None:
    press = Interruption(lambda description, done: description == step and done >= least)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run_experiment(*everything(), tiny_dataset, tmp_path, progress=press)
    torch.rand(3)
    run_experiment(*everything(), tiny_dataset, tmp_path, resume=True)
    assert outcome(tmp_path / "tiny") == outcome(two_runs[0])


@pytest.mark.usefixtures("every_step_reports")
def test_any_number_of_interruptions_is_survived(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    interruptions = 0
    while True:
        left = chance.randint(4, 8)  # an epoch has three reports, so each attempt gets somewhere

        def press(description: str, done: int, total: int, details: str = "") -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

        try:
            run_experiment(*everything(), tiny_dataset, tmp_path, resume=interruptions > 0, progress=press)
            break
        except (Interrupted, KeyboardInterrupt):
            interruptions += 1
    assert interruptions >= 3
    assert outcome(tmp_path / "tiny") == outcome(two_runs[0])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("file", ["model.pt", "metrics.csv", "state.pt", "test_accuracies.npy", "result.json"])
def test_an_interruption_at_any_write_is_survived(
    two_runs: tuple[Path, ExperimentResults],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    before: bool,
) -> None:
    times = 2 if file in ("metrics.csv", "state.pt") else 1
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal times
        if target.name == file:
            times -= 1
        if target.name == file and times == 0:
            if not before:
                replace(path, target)
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            run_experiment(*everything(), tiny_dataset, tmp_path)
    run_experiment(*everything(), tiny_dataset, tmp_path, resume=True)
    assert outcome(tmp_path / "tiny") == outcome(two_runs[0])
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.usefixtures("every_step_reports")
def test_a_changed_dataset_is_noticed(tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, output = tmp_path / "data", tmp_path / "out"
    shutil.copytree(tiny_dataset, root, ignore=shutil.ignore_patterns(".store"))
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run_experiment(*tiny_configs(), root, output, progress=Interruption(lambda what, _: "embedding" in what))
    clip = next((root / "Tiny" / "features").glob("*/*.npy"))
    content = clip.read_bytes()
    clip.unlink()
    with pytest.raises(DataError, match=r"Tiny has changed since .*run-1 was started"):
        run_experiment(*tiny_configs(), root, output, resume=True)
    clip.write_bytes(content)
    run_experiment(*tiny_configs(), root, output, resume=True)
    run = Run.read(output / "tiny" / "run-1")
    evaluate_run(run, root, run.experiment)
    assert "has changed" not in caplog.text
    clip.unlink()
    evaluate_run(run, root, run.experiment)
    assert "has changed since the run was trained on it" in caplog.text


def test_resuming_clears_away_what_a_killed_write_left(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run_experiment(
            *tiny_configs(), tiny_dataset, tmp_path, progress=Interruption(lambda what, _: "embedding" in what)
        )
    (tmp_path / "tiny" / "run-1" / ".fewshot-audio-abcdefgh.tmp").write_bytes(b"the half of a file")
    run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.usefixtures("every_step_reports")
def test_ctrl_c_works_again_after_an_interrupted_training(tiny_dataset: Path, tmp_path: Path) -> None:
    """Lightning switches it off meanwhile; a notebook or a server lives on after a training that was stopped."""
    press = Interruption(lambda description, done: True)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        run_experiment(*tiny_configs(), tiny_dataset, tmp_path, progress=press)
    assert signal.getsignal(signal.SIGINT) == handler


def test_a_finished_experiment_resumes_to_itself(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("there is nothing to do")

    monkeypatch.setattr("fewshot_audio.engine.fit.train_run", refuse)
    folder, results = two_runs
    assert run_experiment(*everything(), tiny_dataset, folder.parent, resume=True) == results


def test_more_runs_are_added_by_resuming(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, tmp_path: Path
) -> None:
    run_experiment(*everything({"num_runs": 1}), tiny_dataset, tmp_path)
    results = run_experiment(*everything(), tiny_dataset, tmp_path, resume=True)
    assert results.accuracy == two_runs[1].accuracy
    assert run_outcome(tmp_path / "tiny" / "run-2")["model"] == run_outcome(two_runs[0] / "run-2")["model"]


def test_a_resumed_run_has_its_threads_back(tiny_dataset: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            run_experiment(
                *tiny_configs(), tiny_dataset, tmp_path, progress=Interruption(lambda what, _: "embedding" in what)
            )
        torch.set_num_threads(1)
        run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_an_existing_experiment_is_refused_unless_told(tiny_dataset: Path, tmp_path: Path) -> None:
    configs = tiny_configs({"num_epochs": 1, "n_testing_tasks": 2})
    run_experiment(*configs, tiny_dataset, tmp_path)
    mark = tmp_path / "tiny" / "mark"
    mark.touch()
    with pytest.raises(ConfigError, match=r"--resume.*--overwrite"):
        run_experiment(*configs, tiny_dataset, tmp_path)
    assert mark.exists()
    run_experiment(*tiny_configs({"num_epochs": 1, "seed": 5}), tiny_dataset, tmp_path, overwrite=True)
    assert not mark.exists()
    assert json.loads((tmp_path / "tiny" / "results.json").read_text())["runs"][0]["seed"] == 5


@pytest.mark.parametrize(
    ("changes", "key"), [({"lr": 0.1}, "lr"), ({"num_epochs": 9}, "num_epochs"), ({"Hybrid.seq_type": "GRU"}, "Hybrid")]
)
def test_other_settings_cannot_resume(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, changes: dict[str, Any], key: str
) -> None:
    folder, _ = two_runs
    before = outcome(folder)
    with pytest.raises(ConfigError, match=f"cannot resume.*{key}"):
        run_experiment(*everything(changes), tiny_dataset, folder.parent, resume=True)
    assert outcome(folder) == before


@pytest.mark.parametrize("file", ["state.pt", "model.pt"])
def test_a_damaged_file_is_an_error_that_names_it(tiny_dataset: Path, tmp_path: Path, file: str) -> None:
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run_experiment(
            *tiny_configs(), tiny_dataset, tmp_path, progress=Interruption(lambda what, _: "embedding" in what)
        )
    path = tmp_path / "tiny" / "run-1" / file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        run_experiment(*tiny_configs(), tiny_dataset, tmp_path, resume=True)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("what", ["nan", "inf"])
def test_divergence_names_epoch_and_task(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    calls = 0

    def diverge(*arguments: Any) -> EpisodeResult:
        nonlocal calls
        calls += 1
        result = episode_loss(*arguments)
        return result._replace(loss=result.loss * float(what)) if calls == 5 else result  # epoch 2, task 2 of 3

    configs = tiny_configs({"n_training_tasks": 3, "num_epochs": 3})
    with monkeypatch.context() as patch:
        patch.setattr("fewshot_audio.engine.module.episode_loss", diverge)
        with pytest.raises(FewShotError, match=r"diverged.*epoch 2, task 2\b"):
            run_experiment(*configs, tiny_dataset, tmp_path)
    run = tmp_path / "tiny" / "run-1"
    assert [row["epoch"] for row in metrics(run)] == ["1"]  # the finished epoch is kept, the broken one is not
    weights = torch.load(run / "model.pt", weights_only=True)
    assert all(value.isfinite().all() for value in weights.values())
    assert not (run / "result.json").exists()


def test_weights_that_break_in_the_last_step_are_divergence_too(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is finite, its gradient is not; no further episode would show it."""
    calls = 0

    def diverge(*arguments: Any) -> EpisodeResult:
        nonlocal calls
        calls += 1
        result = episode_loss(*arguments)
        if calls == 2:
            broken = result.loss + (result.loss - result.loss.detach()).sqrt()  # sqrt of 0 has no finite gradient
            return result._replace(loss=broken)
        return result

    monkeypatch.setattr("fewshot_audio.engine.module.episode_loss", diverge)
    with pytest.raises(FewShotError, match=r"diverged.*epoch 1\b"):
        run_experiment(*tiny_configs({"num_epochs": 1}), tiny_dataset, tmp_path)
    assert not (tmp_path / "tiny" / "run-1" / "result.json").exists()


def test_input_is_checked_before_any_work(tiny_dataset: Path, tmp_path: Path) -> None:
    for changes in ({"n_way_test": 8}, {"n_shot_train": 11}, {"dataset_name": "absent"}, {"Hybrid.pool_dim": [3, 2]}):
        with pytest.raises(FewShotError):
            run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_dataset_stays_as_it_is(tiny_dataset: Path) -> None:
    """Fixtures share it: nothing above may have written anything but its store."""
    dataset = open_dataset(tiny_dataset, tiny_configs()[0])
    assert {path.name for path in dataset.folders.members[0].path.iterdir()} == {
        "features",
        "splits.npy",
        "norm_stats",
        ".store",
    }


# -- the command, in a process of its own ------------------------------------------------------------------------------


@pytest.fixture
def job(tiny_dataset: Path, tmp_path: Path) -> Job:
    return Job(*everything(), tiny_dataset, tmp_path / "job")


def test_kill_9_at_random_moments_does_not_show(
    two_runs: tuple[Path, ExperimentResults], tiny_dataset: Path, job: Job
) -> None:
    work = sum(run.seconds for run in two_runs[1].runs)
    delays = [random.uniform(0, share * work) for share in (0.7, 0.3)]
    killed = [job.kill_at(after(delay)) for delay in delays]
    run_experiment(*everything(), tiny_dataset, job.home, resume=True)
    assert outcome(job.folder) == outcome(two_runs[0]), (delays, killed)


def test_ctrl_c_stops_the_command_and_it_says_how_to_go_on(tiny_dataset: Path, tmp_path: Path) -> None:
    configs = tiny_configs({"num_epochs": 100_000, "patience": 100_000})
    job = Job(*configs, tiny_dataset, tmp_path / "a folder")
    process = job.start()
    try:
        until((job.folder / "run-1" / "state.pt").exists, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    finally:
        process.kill()
    command = next(line for line in job.messages().splitlines() if "--resume" in line)
    assert shlex.split(command) == ["fewshot-audio", *job.arguments(), "--resume"]
    assert "Traceback" not in job.messages()


@pytest.mark.usefixtures("_logging")
def test_the_command_that_ctrl_c_prints_goes_on(
    two_runs: tuple[Path, ExperimentResults],
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls = 0

    def interrupt(*arguments: Any) -> EpisodeResult:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return episode_loss(*arguments)

    overrides = ["--set", "lr=0.005", "--set", 'tie_strategy=""']
    with monkeypatch.context() as patch:
        patch.setattr("fewshot_audio.engine.module.episode_loss", interrupt)
        with pytest.raises(SystemExit) as exit_code:
            main([*job.arguments(), *overrides])
    assert exit_code.value.code == 130
    printed = next(line for line in capfd.readouterr().err.splitlines() if "--resume" in line)
    with pytest.raises(SystemExit) as exit_code:
        main(shlex.split(printed)[1:])
    assert not exit_code.value.code
    assert "Test accuracy" in capfd.readouterr().out
    assert outcome(job.folder) == outcome(two_runs[0])
