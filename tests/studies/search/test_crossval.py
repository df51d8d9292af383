"""Cross-validation: fixed lengths, paired tasks, halving, resuming, sharing the work, and a table to trust."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from fewshot_audio.config.recipes import recipe_configs
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine import fit
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.errors import ConfigError, DataError, FewShotError, Interrupted
from fewshot_audio.experiments import evaluate_run as evaluate_module
from fewshot_audio.files import write_json
from fewshot_audio.functional.statistics import t_quantile
from fewshot_audio.runtime.tensor_file import load_tensors
from fewshot_audio.studies.crossval import training as training_module
from fewshot_audio.studies.crossval import work
from fewshot_audio.studies.crossval.compare import compare, markdown
from fewshot_audio.studies.crossval.halving import trainings
from fewshot_audio.studies.crossval.plan import (
    Candidate,
    CrossvalProtocol,
    Plan,
    Rung,
    make_plan,
    parse_rungs,
    read_candidates,
)
from fewshot_audio.studies.crossval.results import DivergedTraining, ShotResult, TrainingResult
from fewshot_audio.studies.crossval.training import Training
from fewshot_audio.studies.crossval.work import cross_validate
from tests.tiny import tiny_configs, write_tiny_dataset

PROTOCOL = CrossvalProtocol(folds=4, shots=(2, 1), tasks=20)


def plan_of(
    root: Path,
    folder: Path,
    candidates: dict[str, dict[str, Any]],
    rungs: Sequence[Rung] = (Rung(2, 2),),
    protocol: CrossvalProtocol = PROTOCOL,
) -> Plan:
    file = folder / "candidates.json"
    write_json(file, [{"name": name, "set": changes} for name, changes in candidates.items()])
    return make_plan(folder / "out", root, read_candidates(file, *tiny_configs()), rungs, protocol)


def numbers(plan: Plan) -> dict[str, Any]:
    """Every training's numbers, without the clock."""
    timed = {"seconds_per_episode", "versions"}
    return {
        path.stem: {key: value for key, value in json.loads(path.read_text()).items() if key not in timed}
        for path in (plan.folder / "trainings").glob("*.json")
    }


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the candidates that were trained, in order."""
    done: list[str] = []
    original = training_module._train_and_test

    def count(training: Training, *arguments: Any) -> TrainingResult | DivergedTraining:
        done.append(training.candidate.name)
        return original(training, *arguments)

    monkeypatch.setattr(training_module, "_train_and_test", count)
    return done


# -- one training ------------------------------------------------------------------------------------------------------


def test_no_test_class_is_read_and_no_candidate_sees_a_fold_it_is_tested_on(
    tiny_dataset: Path, tmp_path: Path, classes_read: Callable[[], set[str]], splits: Splits
) -> None:
    plan = plan_of(tiny_dataset, tmp_path, {"fast": {"lr": 0.02}}, [Rung(4, 1)])
    cross_validate(plan)
    assert classes_read() == set(splits.train + splits.validation)
    for result in numbers(plan).values():
        assert set(result["held_out"]) == set(plan.folds[result["fold"] - 1])
    assert sorted(name for fold in plan.folds for name in fold) == sorted(splits.train + splits.validation)


def test_training_sees_every_class_but_the_fold_and_tests_the_last_epoch(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    tested: list[Any] = []
    last: list[Any] = []
    original_train, original_test = fit.train_run, evaluate_module.evaluate_network

    def spy_train(module: EpisodicTraining, folder: Path, *rest: Any, **named: Any) -> Any:
        history = original_train(module, folder, *rest, **named)
        state = load_tensors(folder / "state.pt")["network"]
        assert all((value == state[name]).all() for name, value in module.network.state_dict().items())
        seen.append((module.data.splits, [set(row) for row in history], module.seed, module.experiment.num_epochs))
        last.append(history[-1])
        return history

    def spy_test(system: NetworkSystem, protocol: TaskProtocol, **options: Any) -> Any:
        classes = system.data.splits[protocol.phase]
        tested.append((classes, protocol.phase, protocol.n_shot, protocol.n_tasks, protocol.seed))
        return original_test(system, protocol, **options)

    monkeypatch.setattr(fit, "train_run", spy_train)
    monkeypatch.setattr(evaluate_module, "evaluate_network", spy_test)
    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", lambda *_, **__: pytest.fail("validated"))
    plan = plan_of(tiny_dataset, tmp_path, {}, [Rung(1, 3)])
    training = Training(plan, plan.candidates[0], 1, 3, 7)
    training.run()
    result = training.result
    assert isinstance(result, TrainingResult)
    assert (result.train_loss, result.train_accuracy) == (last[0]["train_loss"], last[0]["train_accuracy"])
    (splits, rows, seed, epochs) = seen[0]
    assert splits.test == plan.folds[1]
    assert set(splits.train) == {name for fold in plan.folds for name in fold} - set(plan.folds[1])
    assert (splits.validation, seed, epochs, len(rows)) == ((), 7, 3, 3)
    assert all(not row & {"val_accuracy", "val_loss"} for row in rows)
    assert tested == [(plan.folds[1], "test", 2, 20, 0), (plan.folds[1], "test", 1, 20, 0)]


def test_candidates_are_compared_on_the_same_tasks_with_the_same_seeds(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, tmp_path, {"same": {"loss.l_param": 99.0}})  # of no effect without a contrastive loss
    base, same = sorted(cross_validate(plan).candidates, key=lambda row: row.name)
    assert [test.per_fold for test in same.shots] == [test.per_fold for test in base.shots]
    assert [(test.difference, test.interval) for test in same.shots] == [(0, 0), (0, 0)]
    assert len(numbers(plan)) == 4  # both were trained: the key of a training holds every setting
    first, second = base.shots[0].per_fold or ()
    assert first != second


def test_a_diverged_candidate_loses_and_says_why(tiny_dataset: Path, tmp_path: Path) -> None:
    candidates = {"wild": {"lr": 1e30}, "slow": {"lr": 1e-9}}
    plan = plan_of(tiny_dataset, tmp_path, candidates, [Rung(1, 2), Rung(2, 2)])
    summary = cross_validate(plan)
    assert {row.name: row.folds for row in summary.candidates} == {"base": 2, "slow": 2, "wild": 1}
    wild = summary.candidates[-1]
    assert "not finite" in wild.diverged[0]
    assert wild.shots[0].accuracy is None
    assert "| wild | 1 x 2 | diverged | - | diverged | - | - | - |" in markdown(summary)


# -- resuming and sharing ----------------------------------------------------------------------------------------------


def test_an_interrupted_training_ends_as_if_it_had_not_been(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot_audio.engine.checkpoint.REPORT_SECONDS", 0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = plan_of(tiny_dataset, tmp_path / "a", {"fast": {"lr": 0.02}}, [Rung(1, 3)])
    cross_validate(whole)
    parts = plan_of(tiny_dataset, tmp_path / "b", {"fast": {"lr": 0.02}}, [Rung(1, 3)])

    def stop(description: str, done: int, total: int, details: str = "") -> None:
        if "fast" in description and done == 4:  # in the second of three epochs
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        cross_validate(parts, progress=stop)
    assert len(numbers(parts)) == 1
    resumed: list[int] = []
    cross_validate(parts, progress=lambda description, done, total, details="": resumed.append(done))
    assert min(resumed) == 3  # the first epoch's two tasks were not repeated
    assert numbers(parts) == numbers(whole)
    assert not [path for path in (parts.folder / "under-way").iterdir() if path.is_dir()]


def test_finished_trainings_are_kept_and_candidates_may_be_added(
    tiny_dataset: Path, tmp_path: Path, counted: list[str]
) -> None:
    cross_validate(plan_of(tiny_dataset, tmp_path, {"fast": {"lr": 0.02}}))
    assert counted == ["base", "fast", "base", "fast"]
    cross_validate(plan_of(tiny_dataset, tmp_path, {"fast": {"lr": 0.02}}))
    assert len(counted) == 4
    more = {"slow": {"lr": 0.001}, "renamed": {"lr": 0.02}}
    summary = cross_validate(plan_of(tiny_dataset, tmp_path, more, [Rung(3, 2)]))
    assert counted[4:] == ["slow", "slow", "base", "slow", "renamed"]
    assert {row.name: row.folds for row in summary.candidates} == {"base": 3, "slow": 3, "renamed": 3}


def test_what_a_process_left_that_was_killed_behind_its_result_is_removed(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, tmp_path, {}, [Rung(1, 1)])
    job = Training(plan, plan.candidates[0], 0, 1, 0)
    assert job.run()
    leftover = plan.folder / "under-way" / job.key
    leftover.mkdir()
    (leftover / "state.pt").touch()
    cross_validate(plan)
    assert not leftover.exists()


HOLD = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(1, flush=True); sys.stdin.read()"


def test_what_another_process_is_at_is_left_to_it(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, tmp_path, {}, [Rung(1, 1)])
    job = Training(plan, plan.candidates[0], 0, 1, 0)
    (plan.folder / "under-way").mkdir(parents=True)
    lock = plan.folder / "under-way" / f"{job.key}.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline()  # it holds the lock
        assert not job.run()
        assert not job.file.exists()
        other.stdin.close()
    assert job.run()
    assert job.file.exists()


def test_workers_share_the_work_and_change_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    candidates = {"fast": {"lr": 0.02}}
    alone = plan_of(tiny_dataset, tmp_path / "a", candidates)
    shared = plan_of(tiny_dataset, tmp_path / "b", candidates)
    reports: list[str] = []
    cross_validate(alone)
    cross_validate(shared, workers=2, progress=lambda description, *_, **__: reports.append(description))
    first, second = numbers(alone), numbers(shared)
    for result in (*first.values(), *second.values()):
        del result["runtime"]  # other numbers of threads
    assert first == second
    assert reports[0] == "rung 1/1 (2x2): trainings"


def test_a_dataset_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_dataset(tmp_path)
    plan = plan_of(tmp_path, tmp_path, {})
    (folder.features / "class-00" / "clip-00.npy").unlink()
    with pytest.raises(DataError, match="has changed since this cross-validation was started"):
        cross_validate(plan)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a worker ignores Ctrl-C; this process shall not
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with pytest.raises(SystemExit):
        work._worker(plan, 1, sender)
    assert "has changed since this cross-validation was started" in receiver.recv()


@pytest.mark.soak
def test_a_workers_error_is_the_users_and_a_killed_worker_is_noticed(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path)
    plan = plan_of(tmp_path, tmp_path, {}, [Rung(4, 200)])

    def kill(*_: Any, **__: Any) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(FewShotError, match="a worker was killed"):
        cross_validate(plan, workers=2, progress=kill)
    (folder.features / "class-00" / "clip-00.npy").unlink()
    with pytest.raises(FewShotError, match="has changed since this cross-validation was started"):
        cross_validate(plan, workers=2)
    assert not multiprocessing.active_children()


def test_a_study_of_version_0_1_keeps_its_fingerprints() -> None:
    """Finished trainings are found by their keys; the literals are what version 0.1 computed."""
    experiment, model = recipe_configs("ESC-50-master", "best", "Hybrid")
    experiment = experiment.model_copy(update={"num_runs": 8})  # as that version's recipe had it
    keys = []
    for transform in ("center_l2", "none"):
        base = Candidate("base", {}, experiment.model_copy(update={"embedding_transform": transform}), model)
        folds = (("a", "b"), ("c", "d"))
        plan = Plan(Path("out"), Path("data"), (base,), folds, (Rung(1, 2),), CrossvalProtocol(), "data")
        keys.append(Training(plan, base, 1, 7, 3).key)
    assert keys == ["7fd1e390200f262db9f5", "a61266612377c491a443"]


# -- halving -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Sequence[float]]], None]:
    """Instead of training, an accuracy per candidate and fold."""

    def script(accuracies: dict[str, Sequence[float]]) -> None:
        def pretend(training: Training, *_: Any) -> TrainingResult:
            accuracy = accuracies[training.candidate.name][training.fold]
            shots = {shot: ShotResult(accuracy / shot, ci95=0.0, tasks=1) for shot in (2, 1)}
            return TrainingResult(shots, 0.1, 0.9, seconds_per_episode=0.5, parameters=10, runtime={})

        monkeypatch.setattr(training_module, "_train_and_test", pretend)

    return script


NAMES = ["base", "a", "b", "c", "d"]
SCRIPT = {"base": (0.5, 0.6, 0.7, 0.8), "a": (0.9, 0.1, 0.1, 0.1), "b": (0.6, 0.8, 0.8, 0.9), "c": (0.1,) * 4}
SCRIPT |= {"d": (0.7, 0.7, 0.7, 0.7)}


def test_rungs_keep_the_best_share_and_the_base(
    tiny_dataset: Path, tmp_path: Path, scripted: Callable[[Any], None]
) -> None:
    scripted(SCRIPT)
    candidates = {name: {"lr": 0.01 + index / 100} for index, name in enumerate(NAMES[1:])}
    rungs = [Rung(1, 1), Rung(3, 1), Rung(4, 2)]
    plan = plan_of(tiny_dataset, tmp_path, candidates, rungs)
    summary = cross_validate(plan)
    journal = [json.loads(line) for line in (plan.folder / "journal.jsonl").read_text().splitlines()]
    assert [line["kept"] for line in journal] == [["base", "a", "d"], ["base", "d"]]
    assert [line["dropped"] for line in journal] == [["b", "c"], ["a"]]
    assert journal[0]["accuracy"] == {"base": 0.25, "a": 0.45, "b": 0.3, "c": 0.05, "d": 0.35}
    assert [(row.name, row.folds, row.epochs) for row in summary.candidates] == [
        ("d", 4, 2),
        ("base", 4, 2),
        ("a", 3, 1),
        ("b", 1, 1),
        ("c", 1, 1),
    ]
    assert len(trainings(plan, plan.candidates, rungs[0])) == 5
    cross_validate(plan)
    assert len((plan.folder / "journal.jsonl").read_text().splitlines()) == 2  # the same decisions are not repeated
    assert json.loads((plan.folder / "crossval.json").read_text()) == json.loads(json.dumps(summary.as_json()))
    assert (plan.folder / "table.md").read_text() == markdown(summary)


def test_differences_are_paired_by_fold(tiny_dataset: Path, tmp_path: Path, scripted: Callable[[Any], None]) -> None:
    scripted(SCRIPT)
    plan = plan_of(tiny_dataset, tmp_path, {"b": {"lr": 0.02}}, [Rung(4, 1)])
    best, base = cross_validate(plan).candidates
    own, other = np.array(SCRIPT["b"]), np.array(SCRIPT["base"])
    oracle = scipy.stats.ttest_rel(own, other).confidence_interval(0.95)
    two, one = best.shots
    assert one.accuracy == pytest.approx(own.mean())
    assert one.difference == pytest.approx((oracle.low + oracle.high) / 2)
    assert one.interval == pytest.approx((oracle.high - oracle.low) / 2)
    assert two.difference == pytest.approx((oracle.low + oracle.high) / 4)
    assert two.interval is not None
    assert base.shots[0].difference == 0
    line = f"| b | 4 x 1 | 38.75 | +6.25 ± {100 * two.interval:.2f} | 77.50 | +12.50 ± {100 * one.interval:.2f} |"
    assert line + " 0.500 | 10 |" in markdown(compare(plan))


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 30, 200])
def test_the_quantile_is_students(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(scipy.stats.t.ppf(0.975, degrees), rel=1e-6)


def test_the_noise_is_that_of_all_candidates_of_the_rung(
    tiny_dataset: Path, tmp_path: Path, scripted: Callable[[Any], None]
) -> None:
    scripted(SCRIPT)
    candidates = {name: {"lr": 0.01 + index / 100} for index, name in enumerate(NAMES[1:])}
    plan = plan_of(tiny_dataset, tmp_path, candidates, [Rung(4, 1)])
    summary = cross_validate(plan)
    # Least squares with a column for each candidate and each fold but one, as any book on linear models has it.
    scores = np.array([SCRIPT[name] for name in NAMES])
    rows, folds = scores.shape
    design = np.zeros((scores.size, rows + folds - 1))
    for number, (row, fold) in enumerate(np.ndindex(rows, folds)):
        design[number, row] = 1
        if fold:
            design[number, rows + fold - 1] = 1
    solution, _, rank, _ = np.linalg.lstsq(design, scores.ravel(), rcond=None)
    degrees = scores.size - rank
    variance = ((scores.ravel() - design @ solution) ** 2).sum() / degrees
    contrast = np.zeros(design.shape[1])
    contrast[[0, 1]] = -1, 1
    error = np.sqrt(variance * contrast @ np.linalg.inv(design.T @ design) @ contrast)
    width = scipy.stats.t.ppf(0.975, degrees) * error
    assert [row.shots[1].interval for row in summary.candidates] == pytest.approx([width] * rows)


def test_a_single_fold_has_no_interval(tiny_dataset: Path, tmp_path: Path, scripted: Callable[[Any], None]) -> None:
    scripted(SCRIPT)
    summary = cross_validate(plan_of(tiny_dataset, tmp_path, {"b": {"lr": 0.02}}, [Rung(1, 1)]))
    assert summary.candidates[0].shots[0].interval is None
    assert "| b | 1 x 1 | 30.00 | +5.00 | 60.00 | +10.00 |" in markdown(summary)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "expected a list of candidates, found dict"),
        ('[{"name": "a"}]', "candidate 1: expected"),
        ('[{"name": "a", "set": {}}]', "candidate 'a': 'set' is an object of dotted keys"),
        ('[{"name": "", "set": {"lr": 1}}]', "candidate '': a name is"),
        ('[{"name": "a", "set": {"lrr": 1}}]', "candidate 'a': unknown key 'lrr' \\(nearest known key: 'lr'\\)"),
        ('[{"name": "a", "set": {"lr": -1}}]', "candidate 'a': key 'lr': .* greater than 0"),
        ('[{"name": "a", "set": {"num_epochs": 3}}]', "num_epochs must be the same for every candidate"),
        ('[{"name": "base", "set": {"lr": 1}}]', "given twice: base \\('base' is the pair without changes\\)"),
        ('[{"name": "a", "set": {"lr": 1}}, {"name": "a", "set": {"lr": 2}}]', "given twice: a"),
    ],
    ids=["json", "object", "no set", "empty set", "no name", "unknown", "range", "fixed", "base", "twice"],
)
def test_bad_candidates_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "candidates.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_candidates(file, *tiny_configs())
    assert str(file) in str(error.value)


def test_a_candidate_that_cannot_be_trained_is_refused_before_any_work(tiny_dataset: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"use_attention": True}, "candidate 'a': use_attention is true"),
        ({"n_way_train": 14}, "candidate 'a': n_way_train is 14, but the train split has 12 classes"),
        ({"Hybrid.pool_dim": [3, 3]}, "candidate 'a': .*pool_dim"),
        ({"optimization.warmup_epochs": 2}, "candidate 'a': optimization.warmup_epochs is 2, expected less than the 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_of(tiny_dataset, tmp_path, {"a": changes})
    with pytest.raises(ConfigError, match="rung 5x1: there are 4 folds"):
        plan_of(tiny_dataset, tmp_path, {}, [Rung(5, 1)])
    with pytest.raises(
        ConfigError, match=r"n_way_test is 3, but the smallest of 8 folds has 2 classes to test on .*: use --folds 5"
    ):
        plan_of(tiny_dataset, tmp_path, {}, protocol=CrossvalProtocol(folds=8, shots=(1,)))
    assert not (tmp_path / "out").exists()


def test_rungs_are_read() -> None:
    assert parse_rungs("2x10, 5x40") == (Rung(2, 10), Rung(5, 40))
    for text in ("", "5", "0x3", "5x", "ax3", "5x3;5x4"):
        with pytest.raises(ConfigError, match="expected folds x epochs"):
            parse_rungs(text)


@pytest.mark.parametrize(
    "values", [{"seeds": ()}, {"seeds": (1, 1)}, {"shots": (0,)}, {"tasks": 0}, {"keep": 1.0}, {"keep": 0.0}], ids=str
)
def test_a_protocol_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CrossvalProtocol(**values)


def test_a_name_cannot_break_the_table(tiny_dataset: Path, tmp_path: Path, scripted: Callable[[Any], None]) -> None:
    scripted({"base": [0.5], "a|b <i>": [0.6]})
    summary = cross_validate(plan_of(tiny_dataset, tmp_path, {"a|b <i>": {"lr": 0.02}}, [Rung(1, 1)]))
    assert "| a\\|b &lt;i> | 1 x 1 |" in markdown(summary)
    assert work.TABLE_FILE == "table.md"
