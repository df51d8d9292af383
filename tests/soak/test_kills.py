"""Kill -9 at any moment, and nothing shows in the end: weights, metrics and results are equal to the bit."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewshot_audio.config import ExperimentConfig, ModelConfig
from tests.engine.comparison import metrics, outcome
from tests.engine.job import Job, Moment, after
from tests.tiny import tiny_configs

KILLS, TORN = 20, 3  # kills in all, and how many of them in the middle of a write
EPOCHS = 8

pytestmark = pytest.mark.soak


def configs() -> tuple[ExperimentConfig, ModelConfig]:
    changes = {"num_runs": 2, "num_epochs": EPOCHS, "n_training_tasks": 6, "multi_segm": True, "n_testing_tasks": 40}
    return tiny_configs(changes, scenario=5)


class Undisturbed:
    """What an experiment that was never killed ends with, and the seconds of its work."""

    def __init__(self, job: Job) -> None:
        process = job.start()
        began = time.monotonic()
        assert process.wait() == 0, job.messages()
        self.seconds = time.monotonic() - began
        self.outcome = outcome(job.folder)


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(Job(*configs(), tiny_dataset, tmp_path_factory.mktemp("undisturbed")))


# -- moments -----------------------------------------------------------------------------------------------------------


def unfinished(folder: Path) -> set[str]:
    """Temporary files of writes that are under way, or were when a process was killed."""
    return {path.name for path in folder.glob("run-*/.*.tmp")}


def latest(folder: Path) -> Path:
    """The run under way."""
    return max(folder.glob("run-*"), default=folder)


def epochs(folder: Path) -> int:
    """Epochs that the latest run has written down."""
    run = latest(folder)
    return len(metrics(run)) if (run / "metrics.csv").exists() else 0


def writing(folder: Path, what: str, epoch: int = 1) -> Moment:
    """While a checkpoint ("state"), or something before it, is being written in that epoch or a later one."""
    left = unfinished(folder)

    def moment() -> bool:
        if not unfinished(folder) - left or epochs(folder) < epoch - 1:
            return False
        run = latest(folder)
        return (written(run / "metrics.csv") > written(run / "state.pt")) == (what == "state")

    return moment


def written(path: Path) -> int:
    """When the file was written; before everything else where it is not."""
    return path.stat().st_mtime_ns if path.exists() else 0


def in_testing(folder: Path, number: int, seconds: float) -> Moment:
    """A little after a run has finished its last epoch."""
    run = folder / f"run-{number}"

    def moment() -> bool:
        if epochs(folder) < EPOCHS or not run.exists():
            return False
        time.sleep(seconds)
        return not (run / "result.json").exists()

    return moment


def between_runs(folder: Path) -> Moment:
    """The first run is done, the second has no epoch yet."""
    return lambda: (folder / "run-1" / "result.json").exists() and not (folder / "run-2" / "state.pt").exists()


def chosen(folder: Path, chance: random.Random) -> Iterator[Moment]:
    """Moments that chance would seldom find, in the order in which an experiment meets them."""
    yield writing(folder, "weights")
    yield writing(folder, "state")
    yield writing(folder, "state", EPOCHS // 2)
    yield in_testing(folder, 1, chance.uniform(0, 0.2))
    yield between_runs(folder)
    yield writing(folder, "state")
    yield writing(folder, "weights", EPOCHS // 2)
    yield writing(folder, "state", EPOCHS)
    yield in_testing(folder, 2, chance.uniform(0, 0.2))


def anywhere(seconds: float, chance: random.Random) -> Iterator[Moment]:
    """Moments uniform over the duration of the work."""
    while True:
        yield after(chance.uniform(0, seconds))


# -- survival ----------------------------------------------------------------------------------------------------------


def survive(job: Job, moments: Iterator[Moment]) -> tuple[int, int]:
    """Kill the experiment at one moment after the other until it ends; the kills, and those in the midst of a write."""
    kills = torn = 0
    for moment in moments:
        before = unfinished(job.folder)
        if not job.kill_at(moment):
            return kills, torn
        kills += 1
        torn += bool(unfinished(job.folder) - before)
    job.finish()
    return kills, torn


def test_twenty_kills_do_not_show(tiny_dataset: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    kills = torn = attempt = 0
    while kills < KILLS or torn < TORN:
        assert attempt < 2 * KILLS, f"{kills} kills hit in {attempt} experiments, {torn} of them in a write"
        job = Job(*configs(), tiny_dataset, tmp_path / str(attempt))
        moments = anywhere(undisturbed.seconds, chance) if attempt % 2 else chosen(job.folder, chance)
        hit, in_write = survive(job, moments)
        assert outcome(job.folder) == undisturbed.outcome, f"seed {seed}, experiment {attempt}, {hit} kills"
        kills, torn, attempt = kills + hit, torn + in_write, attempt + 1
