"""Cut many windows out of a batch of signals at once."""

import torch
from torch import Tensor


def take_windows(signals: Tensor, starts: Tensor, length: int) -> Tensor:
    """Copy windows of ``length`` samples.

    An overlapping view has one row per possible start, so that each window is the copy of one contiguous row instead of
    ``length`` gathered samples.

    Shape:
        signals (n, samples) contiguous; starts (n, m) int64, each in 0..samples - length -> (n, m, length).
    """
    n, samples = signals.shape
    first = torch.arange(n, device=signals.device).unsqueeze(1) * samples
    every_start = signals.as_strided((n * samples - length + 1, length), (1, 1))
    return every_start.index_select(0, (starts + first).reshape(-1)).view(*starts.shape, length)
