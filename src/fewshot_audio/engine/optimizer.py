"""The optimizer, its learning rate as a function of the epoch, and the moving average of the weights."""

import bisect
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.errors import ConfigError


def learning_rate(experiment: ExperimentConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0), a pure function, so that resuming needs no state.

    After a linear warm-up: torch's MultiStepLR, or half a cosine (Loshchilov and Hutter 2017, without restarts).
    """
    plan = experiment.optimization
    warmup = plan.warmup_epochs
    if epoch < warmup:
        return experiment.lr * (epoch + 1) / (warmup + 1)
    if plan.schedule == "cosine":
        done = (epoch - warmup) / (experiment.num_epochs - warmup)
        return experiment.lr * (1 + math.cos(math.pi * done)) / 2
    passed = bisect.bisect_right(experiment.scheduler_milestones, epoch)
    return experiment.lr * experiment.scheduler_gamma**passed


def build_optimizer(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Adam, with ``weight_decay`` AdamW (Loshchilov and Hutter 2019), which spares biases, norms and scalars.

    Raises:
        ConfigError: there are no parameters.
    """
    parameters = list(parameters)
    if not parameters:
        raise ConfigError("there is nothing to train: the network has no weights, or all are frozen")
    fused = True if parameters[0].device.type == "cuda" else None
    if not weight_decay:
        return torch.optim.Adam(parameters, lr=lr, fused=fused)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, fused=fused)


def frozen_names(network: nn.Module) -> set[str]:
    """Names of parameters that are not trained, and of the buffers of modules in which no parameter is trained."""
    names: set[str] = set()
    for prefix, module in network.named_modules():
        own = dict(module.named_parameters(prefix, recurse=False))
        if own and not any(parameter.requires_grad for parameter in own.values()):
            names |= own.keys() | dict(module.named_buffers(prefix, recurse=False)).keys()
    return names


class WeightAverage:
    """Exponential moving average of a network's trained parameters and batch statistics over steps (Polyak averaging).

    The decay of step t, from 1, is min(decay, (1 + t) / (10 + t)), so that the first steps soon lose their weight.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.steps = 0
        self._frozen = frozen_names(network)
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        weights = self._weights()
        if not self.tensors:
            self.tensors = {name: value.clone() for name, value in weights.items()}
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in weights.items():
            self.tensors[name].lerp_(value, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the network inside the block, and its own weights back afterwards."""
        own = {name: value.clone() for name, value in self._weights().items()}
        self._load(self.tensors)
        try:
            yield
        finally:
            self._load(own)

    def state(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"steps": self.steps, "tensors": self.tensors}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a ``state()``."""
        self.steps = state["steps"]
        weights = self._weights()
        self.tensors = {name: value.to(weights[name].device) for name, value in state["tensors"].items()}

    def _weights(self) -> dict[str, Tensor]:
        statistics = {
            name: buffer
            for name, buffer in self.network.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        }
        weights = {name: parameter.detach() for name, parameter in self.network.named_parameters()} | statistics
        return {name: value for name, value in weights.items() if name not in self._frozen}

    @torch.no_grad()
    def _load(self, tensors: dict[str, Tensor]) -> None:
        weights = self._weights()
        for name, value in tensors.items():
            weights[name].copy_(value)
