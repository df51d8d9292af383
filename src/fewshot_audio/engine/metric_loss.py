"""Losses of pytorch-metric-learning as the contrastive loss (extra ``metric``)."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.errors import ConfigError

LIBRARY = "pytorch_metric_learning"


class Metric:
    """A loss of the library, given an episode's anchors and queries together as one labeled batch.

    Args:
        loss: name of its class in the library's ``losses``.
        params: its arguments; the others have the library's defaults.

    Raises:
        ConfigError: the library is missing or has no such loss, the loss does not take these arguments, or it cannot
            judge episodes: it learns vectors of a fixed set of classes, or keeps a state from one batch to the next.
    """

    def __init__(self, loss: str, params: Mapping[str, Any]) -> None:
        kind = _class_of(loss)
        _check_names(kind, params)
        try:
            self.loss: nn.Module = kind(**params)
        except Exception as error:  # the library checks its arguments by assert and more
            raise ConfigError(f"loss.metric: {loss} refuses its params: {_reason(error)}") from error
        if any(True for _ in self.loss.parameters()):
            raise ConfigError(_learns(loss))
        self._try(loss)

    def __call__(self, anchors: Tensor, queries: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Compute the loss; see ``engine.contrastive_losses.ContrastiveLoss``."""
        classes = torch.arange(len(anchors), device=labels.device)
        value: Tensor = self.loss(torch.cat([anchors, queries]), torch.cat([classes, labels]))
        return value

    def _try(self, name: str) -> None:
        """Let it judge a made-up episode twice: what fails, or remembers the first time, is refused before training."""
        generator = torch.Generator().manual_seed(0)
        anchors, queries = torch.randn(3, 8, generator=generator), torch.randn(9, 8, generator=generator)
        labels = torch.arange(3).repeat_interleave(3)
        values = []
        for _ in range(2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                try:
                    values.append(float(self(anchors, queries, labels, generator)))
                except Exception as error:
                    raise ConfigError(f"loss.metric: {name} cannot judge an episode: {_reason(error)}") from error
        if values[0] != values[1]:
            raise ConfigError(
                f"loss.metric: {name} depends on former batches or on random numbers of its own, so that a resumed run "
                "would have another loss: choose one that depends on the episode alone"
            )


def _class_of(name: str) -> type[nn.Module]:
    try:
        losses = importlib.import_module(f"{LIBRARY}.losses")
    except ImportError as error:
        raise ConfigError(f"loss.metric needs {LIBRARY}: pip install 'fewshot-audio[metric]'") from error
    names = [
        name
        for name, value in vars(losses).items()
        if inspect.isclass(value)
        and issubclass(value, losses.BaseMetricLossFunction)
        and value is not losses.BaseMetricLossFunction
    ]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConfigError(
            f"loss.metric.loss is {name!r}"
            + (f" (did you mean {near[0]!r}?)" if near else "")
            + f", expected a loss of {LIBRARY}: {', '.join(sorted(names))}"
        )
    kind: type[nn.Module] = getattr(losses, name)
    return kind


def _check_names(kind: type[nn.Module], params: Mapping[str, Any]) -> None:
    """Check the names of arguments. Those that all losses of the library have are objects, which JSON does not hold."""
    arguments: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if base.__name__ in ("GenericPairLoss", "BaseMetricLossFunction"):
            break
        if "__init__" in vars(base):
            arguments = dict(inspect.signature(base).parameters) | arguments
    names = [name for name, argument in arguments.items() if argument.kind is not argument.VAR_KEYWORD]
    if unknown := [name for name in params if name not in names]:
        raise ConfigError(
            f"loss.metric.params: {kind.__name__} has no {', '.join(unknown)}; its params are "
            f"{', '.join(names) or 'none'}"
        )
    if "num_classes" in arguments and arguments["num_classes"].default is inspect.Parameter.empty:
        raise ConfigError(_learns(kind.__name__))


def _learns(name: str) -> str:
    return (
        f"loss.metric: {name} learns vectors of a fixed set of classes, but each episode has other classes: choose a "
        "loss without weights, such as SupConLoss"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
