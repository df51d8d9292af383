"""A labeled batch as an episode: of each label the first rows are support, the others queries."""

from typing import NamedTuple

import torch
from torch import Tensor

from fewshot_audio.errors import format_names, plural


class EpisodeRows(NamedTuple):
    """The rows of a batch, by their part in the episode; classes are numbered in ascending order of their labels.

    Attributes:
        support: support rows of each class, in the batch's order.
        queries: query rows, class by class.
        labels: class of each query, on the queries' device.

    Shape:
        support (n_way, n_shot, width), queries (n_query, width), labels (n_query,) int64.
    """

    support: Tensor
    queries: Tensor
    labels: Tensor


def split_batch(embeddings: Tensor, labels: Tensor, n_shot: int) -> EpisodeRows:
    """Divide a batch into support and queries. Classes may have different numbers of queries.

    Args:
        embeddings: one a row.
        labels: any integers, in any order, on any device.
        n_shot: the first rows of each label that are its support.

    Shape:
        embeddings (n, width), labels (n,).

    Raises:
        ValueError: the shapes or dtypes are others, there are fewer than two labels, or one has no more than ``n_shot``
            rows; names the labels with their counts.

    Example:
        >>> rows = split_batch(torch.arange(10.0).view(5, 2), torch.tensor([7, 3, 7, 3, 3]), n_shot=1)
        >>> rows.support.tolist(), rows.queries.tolist(), rows.labels.tolist()
        ([[[2.0, 3.0]], [[0.0, 1.0]]], [[6.0, 7.0], [8.0, 9.0], [4.0, 5.0]], [0, 0, 1])
    """
    _check(embeddings, labels)
    values, numbers, counts = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    if len(values) < 2:
        raise ValueError(f"the batch has rows of {_listed(values, counts)}; an episode has at least 2 classes")
    small = counts <= n_shot
    if small.any():
        raise ValueError(
            f"n_shot={n_shot} support rows and at least one query need {n_shot + 1} rows of each class; found "
            f"{_listed(values[small], counts[small])}"
        )
    order = torch.argsort(numbers, stable=True)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)  # of a row in its class
    support, query = order[place < n_shot], order[place >= n_shot]
    device = embeddings.device
    return EpisodeRows(
        support=embeddings[support.to(device)].view(len(values), n_shot, -1),
        queries=embeddings[query.to(device)],
        labels=numbers[query].to(device),
    )


def _check(embeddings: Tensor, labels: Tensor) -> None:
    for name, value in (("embeddings", embeddings), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} are of type {type(value).__name__}, expected a tensor")
    if embeddings.ndim != 2 or not embeddings.is_floating_point():
        raise ValueError(
            f"embeddings are {tuple(embeddings.shape)} of {embeddings.dtype}, expected (n, width) of floating point"
        )
    if labels.ndim != 1 or len(labels) != len(embeddings):
        raise ValueError(f"labels are {tuple(labels.shape)}, expected one for each of {len(embeddings)} embeddings")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels are {labels.dtype}, expected integers")


def _listed(values: Tensor, counts: Tensor) -> str:
    if not len(values):
        return "no class"
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    return format_names([f"class {value} ({plural(count, 'row')})" for value, count in pairs])
