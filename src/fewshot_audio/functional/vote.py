"""The vote that decides a clip from its rows: its segments, and the views of each."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def vote(scores: Tensor, valid: Tensor, tie_strategy: Literal["", "min_label", "max_posterior"]) -> Tensor:
    """Decide each clip by the majority of its rows' best labels.

    Args:
        scores: score of each row for each class.
        valid: which rows exist; clips with fewer rows than others are padded. At least one row per clip.
        tie_strategy: which of tied labels wins: "" the one that occurs first, "min_label" the lowest,
            "max_posterior" the one whose row has the highest posterior (softmax of the row's scores).

    Shape:
        scores (..., rows, n_way), valid (..., rows) -> (...) labels, int64.

    Example:
        >>> scores = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 2.0], [9.0, 0.0]])
        >>> vote(scores, torch.tensor([True, True, True, False]), "")  # votes: 1, 0, 1
        tensor(1)
        >>> vote(scores, torch.tensor([True, True, False, False]), "max_posterior")  # votes: 1, 0
        tensor(0)
    """
    rows, n_way = scores.shape[-2:]
    votes = F.one_hot(scores.argmax(-1), n_way).bool() & valid.unsqueeze(-1)  # (..., rows, n_way)
    counts = votes.sum(-2)
    tied = counts == counts.amax(-1, keepdim=True)
    position = torch.arange(rows, device=scores.device).unsqueeze(-1)
    first = torch.where(votes, position, rows).amin(-2)  # (..., n_way): the row of each label's first vote
    if tie_strategy == "min_label":
        return tied.to(torch.uint8).argmax(-1)
    if tie_strategy == "max_posterior":
        posterior = torch.where(votes, scores.softmax(-1), -1).amax(-2)
        tied &= posterior == torch.where(tied, posterior, -1).amax(-1, keepdim=True)
    return torch.where(tied, first, rows).argmin(-1)
