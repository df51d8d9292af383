"""``tune`` and ``crossval`` by two processes, one of which is killed: nothing is lost, and nothing is done twice."""

import csv
import json
import logging
import random
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from fewshot_audio.files import write_json
from fewshot_audio.studies.crossval.work import DECISIONS_FILE, SUMMARY_FILE
from fewshot_audio.studies.tune.outcome import TRIALS_FILE
from fewshot_audio.studies.tune.study import LOST, REASON, RETRY_OF, first_attempt, open_storage
from tests.soak.commands import Command, check_ended_well, killed, run
from tests.soak.reliability import record
from tests.tiny import tiny_configs

TRIALS = 20  # of each kind
FINISHED = 4  # trials of a study
CHANGES = {"num_epochs": 3, "n_training_tasks": 2, "n_validation_tasks": 3}

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def base(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The arguments for a pair of configs and its dataset, whose store is packed."""
    folder = tmp_path_factory.mktemp("base")
    for name, config in zip(("e.json", "m.json"), tiny_configs(CHANGES), strict=True):
        write_json(folder / name, config.model_dump())
    return ["-e", folder / "e.json", "-m", folder / "m.json", "--data-root", tiny_dataset]


def work_together(arguments: list[str | Path], chance: random.Random, seconds: float) -> tuple[bool, float]:
    """Two processes at once, one of which is killed unless it ends before; whether it was, and the seconds of both."""
    began = time.monotonic()
    victim, other = Command(arguments), Command(arguments)
    time.sleep(chance.uniform(0, seconds))
    victim.kill()
    was_killed = not check_ended_well(*victim.end(), SIGKILL)
    check_ended_well(*other.end())
    return was_killed, time.monotonic() - began


# -- tune --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_searches_in_two_processes(base: list[str | Path], tmp_path: Path, chance: random.Random, kind: str) -> None:
    space = tmp_path / "space.json"
    write_json(space, {"lr": {"float": [1e-4, 0.5], "log": True}})
    kills = wrong = lost = 0
    seconds = 5.0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        folder.mkdir()
        storage = f"sqlite:///{folder / 'study.db'}" if kind == "sqlite" else str(folder / "study.log")
        arguments = ["tune", *base, "--space", space, "--storage", storage, "--study", "s", "--trials", str(FINISHED)]
        arguments += ["--stale-after", "2", "-o", folder / "out"]
        was_killed, duration = work_together(arguments, chance, seconds)
        kills, seconds = kills + was_killed, 0.5 * seconds + 0.5 * min(duration, 10)
        results = check_study(storage, folder / "out")
        lost, wrong = lost + results[0], wrong + results[1]
    logging.getLogger(__name__).warning("%d of %d killed", kills, TRIALS)
    record(f"two `tune` on one {kind} at once, one killed", trials=TRIALS, lost=lost, wrong=wrong)


def check_study(storage: str, output: Path) -> tuple[int, int]:
    """Whether a trial of a finished search is lost, and whether one is there twice or differs from the table."""
    trials = optuna.load_study(study_name="s", storage=open_storage(storage)).get_trials()
    finished = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    retried = [trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs]
    lost = len(finished) < FINISHED or any(first_attempt(trial) not in retried for trial in failed)
    lost |= any(trial.state == TrialState.RUNNING for trial in trials)
    wrong = len(finished) > FINISHED + 1  # each of two processes may begin the last one
    wrong |= len({first_attempt(trial) for trial in finished}) < len(finished)
    wrong |= len({tuple(trial.params.items()) for trial in finished}) < len(finished)
    wrong |= any(trial.user_attrs[REASON] != LOST for trial in failed)
    with (output / TRIALS_FILE).open(newline="") as stream:
        rows = {int(row["trial"]): row for row in csv.DictReader(stream)}
    for trial in finished:
        row = rows[trial.number]
        wrong |= row["state"] != trial.state.name.lower() or float(row["lr"]) != trial.params["lr"]
        wrong |= trial.value is not None and float(row["validation_accuracy"]) != trial.value
    return int(lost), int(wrong)


# -- crossval ----------------------------------------------------------------------------------------------------------


def comparison(folder: Path) -> dict[str, Any]:
    """All that a cross-validation has found out, without the time that it took."""
    results = {path.name: path for path in [*(folder / "trainings").glob("*.json"), folder / SUMMARY_FILE]}
    decisions = (folder / DECISIONS_FILE).read_text().splitlines()
    return {name: without_time(json.loads(path.read_text())) for name, path in results.items()} | {
        "decisions": [without_time(json.loads(line)) for line in decisions]
    }


def without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_time(inner) for key, inner in value.items() if "second" not in key and key != "time"}
    return [without_time(inner) for inner in value] if isinstance(value, list) else value


def undisturbed_comparison(
    base: list[str | Path], folder: Path, *learning_rates: float
) -> tuple[list[str | Path], dict[str, Any], float]:
    """The arguments for a comparison, but for the folder of its results; these; and the seconds that it takes."""
    candidates = folder / "candidates.json"
    write_json(candidates, [{"name": f"lr {lr}", "set": {"lr": lr}} for lr in learning_rates])
    arguments = ["crossval", *base, "--candidates", candidates, "--folds", "3", "--halving", "2x2,3x2"]
    arguments += ["--shots", "2,1", "--tasks", "20", "-o"]
    began = time.monotonic()
    assert check_ended_well(*run([*arguments, folder / "undisturbed"]))
    return arguments, comparison(folder / "undisturbed"), time.monotonic() - began


def test_cross_validations_in_two_processes(base: list[str | Path], tmp_path: Path, chance: random.Random) -> None:
    arguments, undisturbed, seconds = undisturbed_comparison(base, tmp_path, 0.001, 0.02)
    kills = lost = wrong = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        was_killed, _ = work_together([*arguments, folder], chance, seconds)
        kills += was_killed
        current = comparison(folder)
        lost += not undisturbed.keys() <= current.keys()
        wrong += current != undisturbed
        wrong += any(path.is_dir() for path in (folder / "under-way").iterdir())
    logging.getLogger(__name__).warning("%d of %d killed", kills, TRIALS)
    record("two `crossval` in one folder at once, one killed", trials=TRIALS, lost=lost, wrong=wrong)


def test_cross_validations_that_are_killed_again_and_again(
    base: list[str | Path], tmp_path: Path, chance: random.Random
) -> None:
    arguments, undisturbed, seconds = undisturbed_comparison(base, tmp_path, 0.02)
    kills = lost = wrong = 0
    while kills < TRIALS:
        folder = tmp_path / str(kills)
        for _ in range(4):
            results = {path.name: path.read_bytes() for path in folder.glob("trainings/*.json")}
            if check_ended_well(*killed([*arguments, folder], SIGKILL, chance.uniform(0, seconds)), SIGKILL):
                break
            kills += 1
            lost += any((folder / "trainings" / name).read_bytes() != content for name, content in results.items())
        else:
            assert check_ended_well(*run([*arguments, folder]))
        wrong += comparison(folder) != undisturbed
    record("kill -9 of `crossval` at random moments", trials=kills, lost=lost, wrong=wrong)
