"""``prepare`` that is killed or asked to stop at any moment, then run again, ends with the same files to the byte."""

import logging
import random
import signal
import time
from pathlib import Path

import pytest

from fewshot_audio.data.layout import DatasetFolder
from tests.data.recordings import class_folders, contents
from tests.soak.commands import check_ended_well, killed, killed_at, run
from tests.soak.reliability import record

TRIALS = 24

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_signals_at_random_moments(tmp_path: Path, number: signal.Signals) -> None:
    seed = random.SystemRandom().randrange(2**32)
    logging.getLogger(__name__).warning("seed %d", seed)  # shown if the test fails
    chance = random.Random(seed)
    source = class_folders(tmp_path / "source", classes=16, clips=6)

    def preparing(root: Path, workers: int) -> list[str | Path]:
        where: list[str | Path] = ["--source", source, "--data-root", root, "--name", "Mine"]
        return ["prepare", "folder", *where, "--segment-seconds", "0.2", "--waveforms", "--workers", str(workers)]

    began = time.monotonic()
    assert run(preparing(tmp_path / "undisturbed", 1))[0] == 0
    seconds = time.monotonic() - began
    expected = contents(DatasetFolder(tmp_path / "undisturbed" / "Mine"))
    trials = lost = wrong = 0
    while trials < TRIALS:
        root = tmp_path / f"trial-{trials}"
        workers = 1 + trials % 2
        command = preparing(root, workers)
        for _ in range(1 + trials % 3):  # several kills of one preparation
            if trials % 2 or number != signal.SIGKILL:
                code, messages = killed(command, number, chance.uniform(0, seconds))
            else:
                code, messages = run(command, killed_at(root, chance.randrange(1, 600)))
            if workers > 1:  # a worker of joblib that starts just then prints that its parent has gone
                messages = messages.partition("LokyProcess")[0]
            if check_ended_well(code, messages, number):
                break
            trials += 1
        before = set((root / "Mine" / "features").rglob("*.npy")) if (root / "Mine" / "features").is_dir() else set()
        code, messages = run(command)
        assert code == 0, messages
        lost += any(not path.exists() for path in before)
        wrong += contents(DatasetFolder(root / "Mine")) != expected
        trials += 1
    record(f"{number.name} of `prepare` at random moments, then again", trials=trials, lost=lost, wrong=wrong)
