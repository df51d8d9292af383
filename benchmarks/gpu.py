"""Milliseconds per training episode on an accelerator, for each scenario, with profiles; ``gpu.sh`` calls it.

python -m benchmarks.gpu --output DIR [--device cpu] [--episodes 200] [--scenario NAME ...] [--compile]

"step" is the step alone (draw, fetch, views, loss, backward, Adam), with one wait for the device at the end. "whole" is
the same within Lightning's loop, from the times that epochs report, with one validation task per epoch. For comparison:
the memory traffic and arithmetic of 200 segments take about 2 ms on one H200.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import random_dataset, report
from benchmarks.train_step import SCENARIOS, build, segments_per_episode
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.fit import train_run
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import SpecViews
from fewshot_audio.runtime.device import start_runtime

COLUMNS = ("scenario", "segments", "step, ms", "whole, ms", "segments / s", "waits in a step", "peak memory, GB")


def wait(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Trainer:
    """A scenario's training on a device, step by step."""

    def __init__(self, scenario: str, folder: DatasetFolder, device: str, compiled: bool) -> None:
        experiment, _, self.network = build(scenario, "Hybrid")
        self.experiment = ExperimentConfig.model_validate(experiment.model_dump() | {"device": device})
        runtime = start_runtime(device, experiment.gpu_index, experiment.precision)
        self.device = torch.device(runtime.device)
        self.network.set_normalization(-30, 15)
        self.network.set_precision(runtime.precision)
        self.network.to(self.device)
        if compiled:
            self.network.encoder.compile()
        self.data = TrainingData(
            SegmentStore.open(folder), read_splits(folder.splits), SpecViews(self.experiment.specaug_params)
        )
        self.module = EpisodicTraining(self.network, self.experiment, self.data, 0).to(self.device)
        self.optimizer = self.module.configure_optimizers()

    def steps(self, episodes: int) -> None:
        """Train on the first tasks of an epoch."""
        for task in range(episodes):
            self.optimizer.zero_grad()
            torch.autograd.backward(self.module.training_step(task % self.experiment.n_training_tasks))
            self.optimizer.step()

    def seconds(self, episodes: int) -> float:
        """Time of ``episodes`` episodes, after a warm-up."""
        self.steps(min(episodes, 20))
        wait(self.device)
        start = time.perf_counter()
        self.steps(episodes)
        wait(self.device)
        return time.perf_counter() - start

    def waits(self) -> int:
        """How often a step made the host wait for the GPU, as far as torch detects it."""
        if self.device.type != "cuda":
            return 0
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as records:
                warnings.simplefilter("always")
                self.steps(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing" in str(warning.message) for warning in records)

    def profile(self, path: Path, steps: int) -> None:
        """Write which operations take the time of some steps."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        activities += [torch.profiler.ProfilerActivity.CUDA] if self.device.type == "cuda" else []
        with torch.profiler.profile(activities=activities) as profiler:
            self.steps(steps)
            wait(self.device)
        order = "self_cuda_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        path.write_text(profiler.key_averages().table(sort_by=order, row_limit=40))


def whole_seconds(network: FewShotNetwork, trainer: Trainer, epochs: int, episodes: int) -> float:
    """Median seconds of an epoch as `train` runs it, one validation task each; the first is warm-up."""
    changes = {"num_epochs": epochs, "n_training_tasks": episodes, "n_validation_tasks": 1, "patience": epochs}
    experiment = ExperimentConfig.model_validate(trainer.experiment.model_dump() | changes)
    with tempfile.TemporaryDirectory() as folder:
        history = train_run(EpisodicTraining(network, experiment, trainer.data, 0), Path(folder))
    seconds = sorted(row["seconds"] for row in history[1:])
    return seconds[len(seconds) // 2]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--compile", action="store_true", help="Compile the encoder, to see whether that pays.")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows, values = [], {}
    name = "gpu-compiled" if options.compile else "gpu"
    with tempfile.TemporaryDirectory() as root:
        folder = random_dataset(Path(root))
        for scenario in options.scenario or SCENARIOS:
            trainer = Trainer(scenario, folder, options.device, options.compile)
            on_gpu = trainer.device.type == "cuda"
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(trainer.device)
            step = trainer.seconds(options.episodes) / options.episodes
            peak = torch.cuda.max_memory_allocated(trainer.device) / 1e9 if on_gpu else 0.0
            waits = trainer.waits()
            trainer.profile(
                options.output / f"{name}-profile-{scenario.replace(' ', '')}.txt", min(10, options.episodes)
            )
            whole = whole_seconds(trainer.network, trainer, options.epochs, options.episodes) / options.episodes
            segments = segments_per_episode(trainer.experiment)
            results: dict[str, Any] = {"step": step, "whole": whole, "waits": waits, "peak_gb": peak}
            values[scenario] = results | {"device": str(trainer.device), "segments": segments}
            numbers = (f"{1000 * step:.2f}", f"{1000 * whole:.2f}", f"{segments / step:.0f}", str(waits), f"{peak:.1f}")
            rows.append([scenario, str(segments), *numbers])
    title = f"Milliseconds per training episode on {trainer.device}" + (", encoder compiled" if options.compile else "")
    report(title, COLUMNS, rows, values, options.output / f"{name}.json")


if __name__ == "__main__":
    main()
