"""A training episode (5-way 5-shot 5-query, 128 x 157), ours against the straightforward loop, in one run.

python -m benchmarks.train_step [--encoder Hybrid] [--scenario "attention + CPL"] [--json FILE]

Each side runs in a process of its own, the straightforward one (benchmarks/naive.py) with the system's allocator and
once more with the tuned one. Utilization = 0.61 GFLOP x segments a second / fp32 GFLOP/s of a matrix product in the
same process. With the angular loss a second row has the loop pair its triplets as the published code does.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    GFLOP_PER_SEGMENT,
    gemm_gflops,
    in_child,
    median_seconds,
    peak_gigabytes,
    random_dataset,
    report,
)
from benchmarks.naive import NaiveNetwork, PublishedPairsNetwork
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import SpecViews
from fewshot_audio.runtime.device import start_runtime

SCENARIOS: dict[str, tuple[int, str]] = {
    "plain": (1, "cpl"),
    "enrichment": (2, "cpl"),
    "attention": (3, "cpl"),
    "attention + CPL": (5, "cpl"),
    "attention + angular": (5, "angular"),
}


def build(scenario: str, encoder: str) -> tuple[ExperimentConfig, ModelConfig, FewShotNetwork]:
    """Configs and a seeded network of a scenario."""
    number, loss = SCENARIOS[scenario]
    experiment, model = scenario_configs("random", number, loss, encoder)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return experiment, model, build_network(experiment, model, 128, 157)


def segments_per_episode(experiment: ExperimentConfig) -> int:
    """Spectrograms that pass the encoder in a training episode, views included."""
    support = experiment.n_shot_train * experiment.support_views("train")
    return experiment.n_way_train * (support + experiment.n_query_train * experiment.query_views("train"))


def training_step(network: FewShotNetwork, experiment: ExperimentConfig, data: TrainingData) -> Callable[[], None]:
    """Return a function that takes the next training step as `train` does, optimizer included."""
    module = EpisodicTraining(network, experiment, data, 0)
    optimizer = module.configure_optimizers()
    tasks = itertools.count()

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(module.training_step(next(tasks)))
        optimizer.step()

    return step


def time_ours(scenario: str, encoder: str, root: Path, repetitions: int) -> dict[str, Any]:
    """Seconds per episode of ``training_step``."""
    experiment, _, network = build(scenario, encoder)
    runtime = start_runtime(experiment.device, experiment.gpu_index, experiment.precision)
    network.set_precision(runtime.precision)
    folder = DatasetFolder(root / "random")
    data = TrainingData(SegmentStore.open(folder), read_splits(folder.splits), SpecViews(experiment.specaug_params))
    return {
        "seconds": median_seconds(training_step(network, experiment, data), repetitions),
        "peak_gigabytes": peak_gigabytes(),
        "gemm_gflops": gemm_gflops(),
        **runtime.as_json(),
    }


def time_naive(
    scenario: str, encoder: str, root: Path, repetitions: int, kind: type[NaiveNetwork] = NaiveNetwork
) -> dict[str, Any]:
    """Seconds per episode of the straightforward loop, with the tuned allocator unless the environment forbids it."""
    experiment, _, network = build(scenario, encoder)
    start_runtime(experiment.device, experiment.gpu_index, experiment.precision)
    naive = kind(network)
    folder = DatasetFolder(root / "random")
    splits = read_splits(folder.splits)
    store = SegmentStore.open(folder)
    sampler = Episodes(store.index, splits.train, 5, 5, 5, seed=0, phase="train")
    files = sorted(folder.features.glob("*/*.npy"))
    maker = SpecViews(experiment.specaug_params)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=experiment.lr)
    tasks = itertools.count()

    def load(indices: Any) -> torch.Tensor:
        return torch.stack([torch.stack([torch.from_numpy(np.load(files[i])[0]) for i in row]) for row in indices])

    def step() -> None:
        episode = sampler.episode(0, next(tasks))
        support_draw = maker.draw(25, (128, 157), generator) if experiment.support_views("train") > 1 else None
        query_draw = maker.draw(25, (128, 157), generator) if experiment.query_views("train") > 1 else None
        optimizer.zero_grad()
        support, query = load(episode.support), load(episode.query)
        loss = naive.episode_loss(experiment, support, query, support_draw, query_draw, generator)
        torch.autograd.backward(loss)
        optimizer.step()

    seconds = median_seconds(step, repetitions, warm_up=1)
    return {"seconds": seconds, "peak_gigabytes": peak_gigabytes()}


def time_published_pairs(scenario: str, encoder: str, root: Path, repetitions: int) -> dict[str, Any]:
    """As ``time_naive``, with the angular loss of the published code."""
    return time_naive(scenario, encoder, root, repetitions, PublishedPairsNetwork)


CHILDREN = {"ours": time_ours, "naive": time_naive, "published": time_published_pairs}
COLUMNS = (
    "scenario",
    "segments",
    "ours, s",
    "naive, s",
    "naive tuned, s",
    "naive / ours",
    "tuned / ours",
    "utilization",
    "ours / attention",
    "ours, GB",
    "naive, GB",
)


def main() -> None:
    """Measure all scenarios, or one part of one in a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=["CNN", "Hybrid"], default="Hybrid")
    parser.add_argument("--scenario", choices=list(SCENARIOS), help="only this one")
    parser.add_argument("--repetitions", type=int, default=15, help="of ours; of the naive loop a third, at least 3")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        result = CHILDREN[options.child](options.scenario, options.encoder, options.root, options.repetitions)
        print(json.dumps(result))
        return
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        SegmentStore.open(random_dataset(Path(root)))
        for scenario in [options.scenario] if options.scenario else SCENARIOS:
            values |= measure(scenario, options.encoder, root, options.repetitions)
    rows = [row(name, value, values.get("attention")) for name, value in values.items()]
    report(f"Seconds per training episode, {options.encoder}", COLUMNS, rows, values, options.json)


def measure(scenario: str, encoder: str, root: str, repetitions: int) -> dict[str, Any]:
    """Measure one scenario in child processes; with the angular loss a second entry has the published pairing."""

    def child(kind: str, times: int, *, system_allocator: bool = False) -> Any:
        arguments = ["--scenario", scenario, "--encoder", encoder, "--root", root, "--child", kind]
        arguments += ["--repetitions", str(times)]
        return in_child("benchmarks.train_step", arguments, system_allocator=system_allocator)

    ours = child("ours", repetitions)
    segments = segments_per_episode(build(scenario, encoder)[0])
    ours |= {"utilization": GFLOP_PER_SEGMENT * segments / ours["seconds"] / ours["gemm_gflops"]}
    few = max(3, repetitions // 3)
    loops = {scenario: "naive"}
    if SCENARIOS[scenario] == (5, "angular"):
        loops[f"{scenario}, pairs as published"] = "published"
    return {
        name: {
            "segments": segments,
            "ours": ours,
            "naive": child(kind, few, system_allocator=True),
            "naive_tuned": child(kind, few),
        }
        for name, kind in loops.items()
    }


def row(name: str, value: dict[str, Any], attention: dict[str, Any] | None) -> list[str]:
    """A row of the table."""
    ours, naive, tuned = value["ours"], value["naive"], value["naive_tuned"]
    over = ours["seconds"] / attention["ours"]["seconds"] if attention and name.startswith("attention") else None
    return [
        name,
        str(value["segments"]),
        f"{ours['seconds']:.3f}",
        f"{naive['seconds']:.3f}",
        f"{tuned['seconds']:.3f}",
        f"{naive['seconds'] / ours['seconds']:.1f}",
        f"{tuned['seconds'] / ours['seconds']:.1f}",
        f"{ours['utilization']:.2f}",
        f"{over:.2f}" if over else "-",
        f"{ours['peak_gigabytes']:.2f}",
        f"{naive['peak_gigabytes']:.2f}",
    ]


if __name__ == "__main__":
    main()
