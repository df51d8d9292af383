"""The vote of a clip's rows (its segments and their views)."""

from typing import Literal

import torch
from torch import Tensor


def vote(scores: Tensor, valid: Tensor, tie_strategy: Literal["", "min_label", "max_posterior"]) -> Tensor:
    """Decide each clip by the majority of its rows' best labels.

    Among tied labels "" takes the one that occurs first, "min_label" the lowest, "max_posterior" the one that holds
    the vote with the highest posterior (softmax of the row's scores).

    Shape: scores (..., rows, way), valid (..., rows), at least one valid row per clip -> (...) labels, int64.
    """
    rows, way = scores.shape[-2:]
    ballots = scores.argmax(-1)  # (..., rows)
    cast = torch.nn.functional.one_hot(ballots, way).bool() & valid.unsqueeze(-1)  # (..., rows, way)
    counts = cast.sum(-2)
    tied = counts == counts.amax(-1, keepdim=True)
    position = torch.arange(rows, device=scores.device).unsqueeze(-1)
    first = torch.where(cast, position, rows).amin(-2)  # (..., way): where each label first occurs
    if tie_strategy == "min_label":
        return tied.to(torch.uint8).argmax(-1)
    if tie_strategy == "max_posterior":
        posterior = torch.where(cast, scores.softmax(-1), -1).amax(-2)
        tied &= posterior == torch.where(tied, posterior, -1).amax(-1, keepdim=True)
    return torch.where(tied, first, rows).argmin(-1)
