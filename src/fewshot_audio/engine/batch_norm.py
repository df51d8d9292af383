"""Running statistics of batch norm if a training step has several episodes."""

import torch
from torch import Tensor, nn

from fewshot_audio.engine.optimizer import frozen_names
from fewshot_audio.runtime.distributed import Ranks


class RunningStatistics:
    """The running statistics of a network's batch norms, averaged over the episodes of a step, then over the ranks.

    Each episode updates the statistics that the step began with, so that the order of a step's episodes does not
    matter. The update is linear: averaging over ranks once, before they are used, equals averaging after every step.
    """

    def __init__(self, network: nn.Module, episodes: int, ranks: Ranks) -> None:
        frozen = frozen_names(network)
        buffers = {name: value for name, value in network.named_buffers() if name not in frozen}
        self._means = [value for name, value in buffers.items() if name.endswith(("running_mean", "running_var"))]
        self._counters = [value for name, value in buffers.items() if name.endswith("num_batches_tracked")]
        self._episodes = episodes
        self._ranks = ranks
        self._start: list[Tensor] = []
        self._sums: list[Tensor] = []

    def before(self, episode: int) -> None:
        """Prepare for an episode, counted from the start of training."""
        if self._episodes == 1:
            return
        values = (*self._means, *self._counters)
        if episode % self._episodes == 0:
            self._start = [value.clone() for value in values]
            self._sums = [torch.zeros_like(value) for value in self._means]
        for start, value in zip(self._start, values, strict=True):
            value.copy_(start)

    def after(self, episode: int) -> None:
        """Take an episode into account; after a step's last one, the network holds the step's average."""
        if self._episodes == 1:
            return
        for total, value in zip(self._sums, self._means, strict=True):
            total.add_(value)
        if (episode + 1) % self._episodes == 0:
            for total, value in zip(self._sums, self._means, strict=True):
                value.copy_(total / self._episodes)

    def average_ranks(self) -> None:
        """Average over the ranks, before the statistics are used."""
        if self._ranks.size > 1:
            for value in self._means:
                value.copy_(self._ranks.all_gather(value).mean(0))
