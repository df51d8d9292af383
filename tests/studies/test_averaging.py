"""The average of weights against its definition."""

import torch
from torch import nn

from fewshot_audio.studies.averaging import average_weights


def test_the_average_moves_quickly_at_first_and_counts_are_copied() -> None:
    averaged, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.zeros_(averaged.weight)
    network.num_batches_tracked += 7
    average_weights(averaged, network, 0.9, 0)
    torch.testing.assert_close(averaged.weight, torch.full((2,), 0.9))  # 1 / 10 of the former stays
    average_weights(averaged, network, 0.9, 1000)
    torch.testing.assert_close(averaged.weight, torch.full((2,), 0.91))  # 0.9 * 0.9 + 0.1 * 1
    assert averaged.num_batches_tracked == 7
