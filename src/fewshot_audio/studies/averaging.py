"""The average of a network's weights over the steps of its training."""

import torch
from torch import nn


@torch.no_grad()
def average_weights(averaged: nn.Module, network: nn.Module, momentum: float, step: int) -> None:
    """Move the average towards the network after a step, counted from 0.

    Of the first steps, when there is little to average, the momentum is smaller: (1 + step) / (10 + step) at most.
    Numbers that are no floats, such as counts of batches, are copied.

    Args:
        averaged: a copy of the network, which is changed.
        network: as it is now.
        momentum: share of the average that stays, 0 to 1.
        step: number of the step.
    """
    share = min(momentum, (1 + step) / (10 + step))
    for old, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - share)
        else:
            old.copy_(new)
