"""Cost of an episode of each algorithm that adapts to tasks, against a naive loop in the same run.

    python -m benchmarks.algorithms --tasks 3 --rounds 2

The naive loop copies the network for each task, and computes convolution, batch norm, ReLU and pooling in textbook
order with autograd and plain SGD, as a first implementation would. ``vmap`` batches the tasks instead, which recurrent
layers do not allow: it is compared on the same encoder without its recurrent layer. All are timed on segments of
128 x 157, alternately, and the fastest round counts.
"""

import argparse
import copy
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.common import report
from fewshot_audio.models.adaptation import MetaCurvature, TaskAdaptation, score_adapted, task_statistics
from fewshot_audio.models.encoders import Hybrid
from fewshot_audio.runtime.device import start_runtime

WAY = 5


class NaiveHybrid(nn.Module):
    """The Hybrid encoder in textbook order, or the same without its recurrent layer."""

    def __init__(self, *, recurrent: bool = True) -> None:
        super().__init__()
        sizes = [1, 64, 64, 64, 64]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(3))
                for before, after in itertools.pairwise(sizes)
            )
        )
        self.rnn = nn.RNN(64, 64, batch_first=True) if recurrent else None
        self.norm, self.linear = nn.BatchNorm1d(64), nn.Linear(64, WAY)

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes."""
        sequence = self.blocks(x.unsqueeze(1)).flatten(1, 2).transpose(1, 2)
        last = sequence[:, -1] if self.rnn is None else self.rnn(sequence)[0][:, -1] + sequence[:, -1]
        scores: Tensor = self.linear(self.norm(last))
        return scores


def naive_step(network: nn.Module, support: Tensor, query: Tensor, shot: int, steps: int) -> None:
    """A training step of first-order MAML, task by task."""
    for task in range(len(support)):
        adapted = copy.deepcopy(network)
        optimizer = torch.optim.SGD(adapted.parameters(), lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(adapted(support[task]), labels(shot)))
            optimizer.step()
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(adapted(query[task]), labels(1)))
        for parameter, moved in zip(network.parameters(), adapted.parameters(), strict=True):
            assert moved.grad is not None
            parameter.grad = moved.grad if parameter.grad is None else parameter.grad + moved.grad


def vmap_step(network: nn.Module, support: Tensor, query: Tensor, shot: int, steps: int) -> None:
    """The same, batched over the tasks."""
    start = {name: value.detach() for name, value in network.named_parameters()}

    def loss(weights: dict[str, Tensor], segments: Tensor, truth: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, weights, (segments,)), truth)

    def gradient(support: Tensor, query: Tensor) -> dict[str, Tensor]:
        weights = start
        for _ in range(steps):
            step = grad(loss)(weights, support, labels(shot))
            weights = {name: weights[name] - 0.1 * step[name] for name in weights}
        result: dict[str, Tensor] = grad(loss)(weights, query, labels(1))
        return result

    vmap(gradient)(support, query)


def our_step(
    network: Hybrid, adaptation: TaskAdaptation, support: Tensor, query: Tensor, shot: int, precision: str
) -> None:
    """The same, as the package does it."""
    network.precision = "bf16" if precision == "bf16" else "fp32"
    for task in range(len(support)):
        with task_statistics(network):
            weights = adaptation(network, support[task], labels(shot))
            torch.autograd.backward(F.cross_entropy(score_adapted(network, weights, query[task]), labels(1)))


def labels(shot: int) -> Tensor:
    """The class of each segment of a task."""
    return torch.arange(WAY).repeat_interleave(shot)


def main() -> None:
    """Time the steps and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()
    start_runtime("cpu", 0, "fp32")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    support, query = (torch.randn(options.tasks, WAY * n, 128, 157) for n in (options.shot, 1))
    naive, flat = NaiveHybrid().train(), NaiveHybrid(recurrent=False).train()
    ours = Hybrid(128, 157, out_dim=WAY).train()
    for module in (*naive.modules(), *flat.modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    maml = TaskAdaptation(options.steps, 0.1)
    curved = TaskAdaptation(options.steps, 0.1, MetaCurvature(ours))
    shot, steps = options.shot, options.steps
    ways: dict[str, Callable[[], None]] = {
        "FO-MAML, naive loop": lambda: naive_step(naive, support, query, shot, steps),
        "FO-MAML without recurrence, naive loop": lambda: naive_step(flat, support, query, shot, steps),
        "FO-MAML without recurrence, vmap": lambda: vmap_step(flat, support, query, shot, steps),
        "FO-MAML, fp32": lambda: our_step(ours, maml, support, query, shot, "fp32"),
        "FO-MAML, bf16": lambda: our_step(ours, maml, support, query, shot, "bf16"),
        "FO-Meta-Curvature, fp32": lambda: our_step(ours, curved, support, query, shot, "fp32"),
        "FO-Meta-Curvature, bf16": lambda: our_step(ours, curved, support, query, shot, "bf16"),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, step in ways.items():
            began = time.perf_counter()
            step()
            best[name] = min(best[name], (time.perf_counter() - began) / options.tasks)
    base = best["FO-MAML, naive loop"]
    report(
        f"An episode of {steps} steps on {WAY} x {shot} segments and {WAY} queries, {options.threads} threads",
        ("algorithm", "seconds", "speed against the naive loop"),
        [(name, f"{seconds:.3f}", f"{base / seconds:.1f}") for name, seconds in best.items()],
        best,
        options.json,
    )


if __name__ == "__main__":
    main()
