"""An experiment in a process of its own, which can be killed at chosen moments."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig

PATIENCE = 300  # seconds until a process that should have done something is taken for stuck
# The command's heavy imports come first, then a mark: moments are counted from the start of the work itself.
COMMAND = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
import fewshot_audio.experiments.run_experiment
from fewshot_audio.cli import main
pathlib.Path(sys.argv.pop(1)).touch()
main()
"""

Moment = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """``fewshot-audio train`` of an experiment; ``home`` takes its configs, results and messages."""

    experiment: ExperimentConfig
    model: ModelConfig
    data_root: Path
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / self.experiment.experiment_folder

    def arguments(self) -> list[str]:
        """The command's arguments, without ``--resume``."""
        files = {"-e": (self.home / "experiment.json", self.experiment), "-m": (self.home / "model.json", self.model)}
        arguments = ["train"]
        for flag, (path, config) in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(config.model_dump()))
            arguments += [flag, str(path)]
        return [*arguments, "--data-root", str(self.data_root), "--output", str(self.home)]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start or resume it, and return once its work begins."""
        mark = self.home / "begun"
        mark.unlink(missing_ok=True)
        command = [sys.executable, "-c", COMMAND, str(mark), *self.arguments(), "--resume"]
        environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        with (self.home / "messages.txt").open("wb") as messages:
            process = subprocess.Popen(command, env=environment, stdout=messages, stderr=subprocess.STDOUT)
        until(mark.exists, process)
        return process

    def messages(self) -> str:
        """What the last process said."""
        return (self.home / "messages.txt").read_text()

    def kill_at(self, moment: Moment) -> bool:
        """Start or resume it and kill it at the moment; whether the moment came before its end."""
        process = self.start()
        try:
            while process.poll() is None:
                if moment():
                    break
        finally:
            process.send_signal(signal.SIGKILL)
            code = process.wait(PATIENCE)
        assert code in (0, -signal.SIGKILL), self.messages()
        return code != 0

    def finish(self) -> None:
        """Start or resume it and let it come to its end."""
        assert self.start().wait(PATIENCE) == 0, self.messages()


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for the condition while the process lives."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "the process is stuck"
        time.sleep(0.002)


def after(seconds: float) -> Moment:
    """So long after the first question."""
    began: list[float] = []

    def moment() -> bool:
        began.append(time.monotonic())
        time.sleep(0.001)
        return time.monotonic() - began[0] >= seconds

    return moment
