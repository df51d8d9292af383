"""The test protocol on any embedding function and any labeled data set."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fewshot_audio.config.experiment import Distance
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.sampler import check_episode, index_labels
from fewshot_audio.engine.evaluate import evaluate_system
from fewshot_audio.engine.system import Embeddings, evaluating
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.functional.prototypes import prototypes, prototypical_scores
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.progress import Progress, silent


class TaskAccuracy(NamedTuple):
    """Result of ``evaluate_tasks``; accuracies are fractions of 1.

    Attributes:
        accuracy: mean over the tasks.
        ci95: half width of the 95 % interval of that mean.
        accuracies: of each task, float64 (tasks,), for paired comparisons: the same seed gives the same tasks.
    """

    accuracy: float
    ci95: float
    accuracies: NDArray[np.float64]


def evaluate_tasks(
    embed: Callable[[Any], Any],
    dataset: Dataset[Any],
    n_way: int = 5,
    n_shot: int = 5,
    *,
    n_query: int = 5,
    tasks: int = 2000,
    seed: int = 0,
    distance: Distance = "euclidean",
    batch_size: int = 64,
) -> TaskAccuracy:
    """Test an embedding function on few-shot tasks, as ``fewshot-audio evaluate`` tests a network.

    Each item is embedded once. A task's queries are answered by the nearest class mean of its support.

    Args:
        embed: maps a batch of inputs, as torch's default collation makes it, to a tensor or array (n, width). A module,
            or a method of one, gets the batch on the device of its parameters and runs in evaluation mode, which is
            restored afterwards; gradients are off.
        dataset: items (input, label), labels integers or names; arrays go into a ``TensorDataset``.
        n_way: classes of a task.
        n_shot: support items of each class.
        n_query: query items of each class.
        tasks: number of tasks.
        seed: decides which tasks are drawn, 0 or more.
        distance: how queries are compared with class means.
        batch_size: items that are embedded at once.

    Raises:
        DataError: there are too few classes, or items of a class; names them with their counts.
        ValueError: a number is out of its range, an item is no pair, or the embeddings are not (n, width) of finite
            numbers.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> labels = torch.arange(5).repeat(12)
        >>> sounds = TensorDataset(labels + 0.1 * torch.rand(60), labels)
        >>> result = evaluate_tasks(lambda x: x.unsqueeze(-1), sounds, n_shot=1, tasks=50)
        >>> f"{result.accuracy:.1%} ± {result.ci95:.1%}"
        '100.0% ± 0.0%'
    """
    for name, value, least in (("tasks", tasks, 1), ("seed", seed, 0), ("batch_size", batch_size, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected {least} or more")
    rows, labels = _embed_all(embed, dataset, batch_size)
    index = index_labels(labels)
    check_episode(index, n_way, n_shot, n_query)
    protocol = TaskProtocol("test", seed, tasks, n_way, n_shot, n_query)
    planned = plan_tasks(index, list(index.by_class), protocol)
    scores = evaluate_system(_EmbeddedItems(rows, distance), planned)
    return TaskAccuracy(float(scores.accuracy.mean()), ci95(scores.accuracy), scores.accuracy)


@dataclass(frozen=True)
class _EmbeddedItems:
    """Items that are embedded already, (items, width), as a system."""

    rows: Tensor
    distance: Distance

    @property
    def relation(self) -> bool:
        return False

    def embed(self, segments: Indices, progress: Progress = silent) -> Embeddings:
        return Embeddings(segments, self.rows[torch.from_numpy(segments)][:, None, None])

    def scores(self, support: Tensor, queries: Tensor) -> Tensor:
        return prototypical_scores(prototypes(support), queries, self.distance)


def _embed_all(embed: Callable[[Any], Any], dataset: Dataset[Any], batch_size: int) -> tuple[Tensor, Any]:
    """Embeddings (items, width) on the CPU, float32, and the labels of all items."""
    module = embed if isinstance(embed, nn.Module) else getattr(embed, "__self__", None)
    if not isinstance(module, nn.Module):
        module = nn.Identity()
    parameter = next(module.parameters(), None)
    parts, labels = [], []
    # With a generator of its own the loader draws nothing from torch's global one.
    loader = DataLoader(dataset, batch_size, generator=torch.Generator())
    with evaluating(module):
        for batch in loader:
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise ValueError("an item of the data set is no pair (input, label): put arrays into a TensorDataset")
            inputs, batch_labels = batch
            if parameter is not None and isinstance(inputs, Tensor):
                inputs = inputs.to(parameter.device)
            embeddings = torch.as_tensor(embed(inputs))
            if embeddings.ndim != 2 or len(embeddings) != len(batch_labels) or not embeddings.isfinite().all():
                raise ValueError(
                    f"embed returned {tuple(embeddings.shape)} for {len(batch_labels)} items, or values that are not "
                    "finite; expected (n, width) of finite numbers"
                )
            parts.append(embeddings.float().cpu())
            labels += batch_labels.tolist() if isinstance(batch_labels, Tensor) else list(batch_labels)
    return torch.cat(parts) if parts else torch.empty(0, 0), labels
