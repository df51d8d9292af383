"""One training, again and again in new processes whose surroundings differ: the same bits after every step."""

import hashlib
import os
import random
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.engine import module as training_module
from fewshot_audio.engine.episode_loss import EpisodeResult, episode_loss
from fewshot_audio.engine.loader import EpisodeLoader, LoadedEpisode
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.engine.comparison import outcome
from tests.soak.commands import Command, check_ended_well
from tests.soak.reliability import record
from tests.soak.test_bits import data_root

__all__ = ["data_root"]  # a fixture

REPEATS = 20
SIZE = {"num_runs": 1, "num_epochs": 2, "n_training_tasks": 4, "n_validation_tasks": 2, "n_testing_tasks": 5}
SURROUNDINGS = ("plain", "store packed first", "cold pages", "slow loader", "slow network", "other work", "other heap")

pytestmark = pytest.mark.soak


def train(arguments: Sequence[str]) -> None:
    """The program that trains: ``DATA_ROOT OUTPUT PRECISION SURROUNDINGS SEED``; prints a line for each step."""
    root, output, precision, surroundings, seed = arguments
    chance = random.Random(seed)
    _surround(surroundings, Path(root), chance)

    def traced(network: Any, *others: Any) -> EpisodeResult:
        weights = b"".join(_bits(value) for value in network.state_dict().values())
        inputs = b"".join(_bits(value) for value in others if isinstance(value, torch.Tensor))
        result = episode_loss(network, *others)
        digests = [hashlib.sha256(content).hexdigest()[:12] for content in (weights, inputs)]
        print("step", *digests, float(result.loss).hex())  # noqa: T201 - the parent reads it
        if surroundings == "slow network":
            time.sleep(chance.uniform(0, 0.1))
        return result

    setattr(training_module, "episode_loss", traced)  # noqa: B010 - with other types
    experiment, model = scenario_configs("Noise", 1, "angular")
    changes = SIZE | {"experiment_folder": "same", "device": "cpu", "precision": precision}
    experiment = ExperimentConfig.model_validate(experiment.model_dump() | changes)
    torch.set_num_threads(2)
    run_experiment(experiment, model, Path(root), Path(output))


def _bits(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _surround(surroundings: str, root: Path, chance: random.Random) -> None:
    """Change what must not matter for this process."""
    if surroundings == "store packed first":
        shutil.rmtree(root / "Noise" / ".store")
    elif surroundings == "cold pages":
        for path in (path for path in (root / "Noise").rglob("*.npy") if path.is_file()):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    elif surroundings == "slow loader":
        load = EpisodeLoader._load

        def slow(loader: EpisodeLoader, epoch: int, task: int) -> LoadedEpisode:
            time.sleep(chance.uniform(0, 0.2))
            result = load(loader, epoch, task)
            time.sleep(chance.uniform(0, 0.2))
            return result

        setattr(EpisodeLoader, "_load", slow)  # noqa: B010 - with other types
    elif surroundings == "other work":
        threading.Thread(target=_work, daemon=True).start()
    elif surroundings == "other heap":
        blocks = [bytearray(b"\xff") * chance.randrange(1 << 20) for _ in range(500)]
        del blocks[:: chance.randint(2, 5)]
        _KEPT.extend(blocks)


_KEPT: list[bytearray] = []


def _work() -> None:
    while True:
        with suppress(ValueError):
            hashlib.sha256(bytes(1 << 20)).digest()  # without the lock of the interpreter


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twenty_repeats(data_root: Path, tmp_path: Path, precision: str) -> None:
    root = Path(shutil.copytree(data_root, tmp_path / "data"))
    first: tuple[list[str], dict[str, Any]] | None = None
    wrong, messages = 0, list[str]()
    for repeat in range(REPEATS):
        surroundings = SURROUNDINGS[repeat % len(SURROUNDINGS)]
        output = tmp_path / str(repeat)
        code, printed = Command([root, output, precision, surroundings, str(repeat)], program=train).end()
        assert check_ended_well(code, printed)
        steps = [line for line in printed.splitlines() if line.startswith("step")]
        assert len(steps) == SIZE["num_epochs"] * SIZE["n_training_tasks"]
        current = steps, outcome(output / "same")
        first = first or current
        if current != first:
            wrong += 1
            different = [number for number, pair in enumerate(zip(steps, first[0], strict=True)) if pair[0] != pair[1]]
            messages.append(f"repeat {repeat}, {surroundings}: differs from step {different[:1]} on")
        shutil.rmtree(output)
    assert not messages, "\n".join(messages)
    record(f"training repeated in {precision}, bit by bit", trials=REPEATS, lost=0, wrong=wrong)
