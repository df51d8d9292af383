"""Testing 2000 tasks (5-way 5-shot 5-query on 10 classes x 40 clips), ours against the loop task by task, in one run.

python -m benchmarks.evaluate [--tasks 2000] [--json FILE]

The loop opens a file per clip and embeds support and query of every task anew, view by view, in fp32; it does a few
tasks, and its time is scaled to all of them. Ours is the whole test: opening the store, embeddings, tasks, votes.
"fresh views" draws new test-time views for every task, and is scaled from fewer tasks too.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import in_child, random_dataset, report
from benchmarks.naive import NaiveNetwork
from benchmarks.train_step import build
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import SpecViews
from fewshot_audio.runtime.device import start_runtime

SCENARIOS = ("plain", "attention")
CLASSES, CLIPS = 10, 40
LIMITS = {"plain": 5.0, "attention": 90.0}
PARTS = ("ours", "fresh", "naive")


def time_ours(network: FewShotNetwork, experiment: ExperimentConfig, root: Path, tasks: int, *, fresh: bool) -> float:
    """Seconds of a whole test."""
    folder = DatasetFolder(root / "test")
    began = time.perf_counter()
    splits = read_splits(folder.splits)
    data = TrainingData(SegmentStore.open(folder), splits, SpecViews(experiment.specaug_params))
    protocol = replace(TaskProtocol.test(experiment), n_tasks=tasks)
    evaluate_network(NetworkSystem.test(network, experiment, data), protocol, fresh_views=fresh)
    return time.perf_counter() - began


def time_naive(network: FewShotNetwork, experiment: ExperimentConfig, root: Path, tasks: int) -> float:
    """Seconds of the loop for ``tasks`` tasks."""
    folder = DatasetFolder(root / "test")
    store, maker = SegmentStore.open(folder), SpecViews(experiment.specaug_params)
    files = sorted(folder.features.glob("*/*.npy"))
    sampler = Episodes(store.index, read_splits(folder.splits).test, 5, 5, 5, seed=0, phase="test")
    naive = NaiveNetwork(network.eval())
    generator = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    with torch.no_grad():
        for task in range(tasks):
            episode = sampler.episode(0, task)
            halves = []
            for indices in (episode.support, episode.query):
                raw = torch.stack([torch.from_numpy(np.load(files[i])[0]) for i in indices.ravel()])
                views = [network.normalize(raw)]
                if experiment.query_views("test") > 1:
                    draw = maker.draw(len(raw), (128, 157), generator)
                    examples = [maker.views(network, raw[i : i + 1], draw[i : i + 1]) for i in range(len(raw))]
                    views = list(torch.cat(examples).unbind(1))
                tokens = torch.stack([naive.encode(view) for view in views], 1)
                halves.append(network.fuse(tokens).flatten(0, 1).view(5, 5, -1))
            prototypes = torch.stack([rows.mean(0) for rows in halves[0]])
            for label in range(5):
                for row in halves[1][label]:
                    bool((row - prototypes).norm(dim=-1).argmin() == label)
    return time.perf_counter() - began


def measure(part: str, scenario: str, root: Path, tasks: int) -> dict[str, Any]:
    """Measure one part in this process, in fp32 as every test."""
    experiment, _, network = build(scenario, "Hybrid")
    start_runtime(experiment.device, experiment.gpu_index, experiment.precision)
    network.set_normalization(-30, 15)
    if part == "naive":
        return {"seconds": time_naive(network, experiment, root, tasks), "tasks": tasks}
    return {"seconds": time_ours(network, experiment, root, tasks, fresh=part == "fresh"), "tasks": tasks}


def main() -> None:
    """Measure every part in a child process; the naive loop has the default allocator, as a user would run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--few", type=int, default=10, help="Tasks of the loop and of fresh views.")
    parser.add_argument("--scenario", choices=SCENARIOS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.scenario, options.root, options.tasks)))
        return
    rows, values = [], {}
    with tempfile.TemporaryDirectory() as root:
        SegmentStore.open(random_dataset(Path(root), "test", CLASSES, CLIPS, test_only=True))
        for scenario in [options.scenario] if options.scenario else SCENARIOS:
            parts = {}
            for part in PARTS:
                if part == "fresh" and scenario == "plain":
                    continue
                tasks = options.tasks if part == "ours" else min(options.few, options.tasks)
                arguments = ["--part", part, "--scenario", scenario, "--root", root, "--tasks", str(tasks)]
                result = in_child("benchmarks.evaluate", arguments, system_allocator=part == "naive")
                parts[part] = result | {"scaled": result["seconds"] * options.tasks / tasks}
            values[scenario] = parts
            ours, naive = parts["ours"]["seconds"], parts["naive"]["scaled"]
            fresh = f"{parts['fresh']['scaled']:.0f}" if "fresh" in parts else "-"
            row = [scenario, f"{ours:.2f}", f"{LIMITS[scenario]:.0f}", f"{naive:.0f}", f"{naive / ours:.0f}", fresh]
            rows.append(row)
    columns = ["scenario", "ours, s", "limit for 2000, s", "naive, scaled, s", "naive / ours", "fresh views, scaled, s"]
    title = f"Testing {options.tasks} tasks; the naive loop and fresh views scaled from {options.few}"
    report(title, columns, rows, values, options.json)


if __name__ == "__main__":
    main()
