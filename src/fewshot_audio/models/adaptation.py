"""Adaptation of an encoder to a task by gradient steps on its support: MAML and Meta-Curvature, first order.

First order means that the gradient of a step is a constant: d loss / d start is the gradient at the adapted weights,
and nothing is differentiated through the steps (Finn et al. 2017, https://arxiv.org/abs/1703.03400, section 5.2).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot_audio.models.blocks import ConvBlock

Weights = dict[str, Tensor]


class MetaCurvature(nn.Module):
    """Trained matrices that transform the gradients of a module (Park and Oliva 2019, https://arxiv.org/abs/1902.03356).

    A gradient G of shape (out, in, height, width) is read as (out, in, height * width), and each of the three axes is
    multiplied by its matrix: G x3 M_f x2 M_i x1 M_o. A matrix of weights has two axes, a vector one; an axis of size 1
    has no matrix. All matrices are identities at first.

    Args:
        module: the module whose trained parameters' gradients are transformed.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.matrices = nn.ModuleDict()
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                axes = enumerate(_three_axes(parameter))
                matrices = {str(axis): nn.Parameter(torch.eye(size)) for axis, size in axes if size > 1}
                self.matrices[_key(name)] = nn.ParameterDict(matrices)

    def forward(self, name: str, gradient: Tensor) -> Tensor:
        """Transform the gradient of the parameter of that name. Shape: (...) -> the same."""
        result = gradient.reshape(_three_axes(gradient))
        for axis, matrix in cast(nn.ParameterDict, self.matrices[_key(name)]).items():
            result = torch.tensordot(matrix, result, dims=([1], [int(axis)])).movedim(0, int(axis))
        return result.reshape(gradient.shape)


def _three_axes(weight: Tensor) -> tuple[int, int, int]:
    shape = weight.shape
    return shape[0] if shape else 1, shape[1] if len(shape) > 1 else 1, math.prod(shape[2:])


def _key(name: str) -> str:
    return name.replace(".", "/")  # a module's name has no dots


class TaskAdaptation(nn.Module):
    """Gradient steps on a task's support, from the encoder's own weights; what they need beside the encoder.

    Args:
        steps: number of steps.
        rate: learning rate of each.
        curvature: transforms the gradients; None takes them as they are.
    """

    def __init__(self, steps: int, rate: float, curvature: MetaCurvature | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.rate = rate
        self.curvature = curvature

    def forward(self, encoder: nn.Module, support: Tensor, labels: Tensor) -> Weights:
        """Adapt an encoder, whose outputs are the scores of the task's classes.

        Args:
            encoder: the encoder; it is not changed.
            support: normalized segments.
            labels: the class of each, from 0.

        Returns:
            The adapted weights by name. With gradients on they depend on the encoder's weights and the curvature's, and
            the gradients of the steps are constants.

        Shape: support (n, mels, frames), labels (n,).
        """
        start: Weights = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
        total: Weights = {}
        for _ in range(self.steps):
            weights = {name: value.detach().requires_grad_() for name, value in _moved(start, total).items()}
            with torch.enable_grad():
                loss = F.cross_entropy(score_adapted(encoder, weights, support), labels)
                gradients = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                step = self.rate * (gradient if self.curvature is None else self.curvature(name, gradient))
                total[name] = total[name] + step if name in total else step
        return _moved(start, total)


def _moved(start: Weights, total: Weights) -> Weights:
    return {name: value - total[name] if name in total else value for name, value in start.items()}


def score_adapted(encoder: nn.Module, weights: Weights, segments: Tensor) -> Tensor:
    """Score segments with other weights than the encoder's own. Shape: (n, mels, frames) -> (n, way)."""
    scores: Tensor = functional_call(encoder, weights, (segments,))
    return scores


@contextmanager
def task_statistics(encoder: nn.Module) -> Iterator[None]:
    """Batch norm by the statistics of the batch at hand inside the block; running ones are neither used nor moved.

    All else that has modes, such as dropout, stays in the mode that it is in.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    tracking = [norm.track_running_stats for norm in norms]
    modes = [(module, module.training) for module in encoder.modules() if _works_in_training(module)]
    try:
        for norm in norms:
            norm.track_running_stats = False
        for module, _ in modes:
            module.training = True
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracked
        for module, training in modes:
            module.training = training


def _works_in_training(module: nn.Module) -> bool:
    """Whether ``task_statistics`` has a module in training mode.

    The blocks are cheaper in it. A recurrent layer without dropout computes the same in both modes, but cuDNN refuses
    its gradients in evaluation mode.
    """
    return isinstance(module, _BatchNorm | ConvBlock) or (isinstance(module, nn.RNNBase) and not module.dropout)
