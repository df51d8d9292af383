"""Few-shot adaptation written down naively: one task after another, copies of modules, plain SGD."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def naive_adapted(module: nn.Module, support: Tensor, labels: Tensor, steps: int, rate: float) -> nn.Module:
    """A copy of a module after plain gradient steps on the cross-entropy of its outputs."""
    adapted = copy.deepcopy(module)
    optimizer = torch.optim.SGD(adapted.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(adapted(support), labels).backward()
        optimizer.step()
    return adapted


def naive_curved(gradient: Tensor, out: Tensor | None, into: Tensor | None, kernel: Tensor | None) -> Tensor:
    """Each entry of a gradient (out, in, kernel) transformed by sums over the three axes, in loops."""
    n_out, n_in, n_kernel = gradient.shape
    matrices = [
        torch.eye(size) if matrix is None else matrix
        for matrix, size in zip((out, into, kernel), gradient.shape, strict=True)
    ]
    result = torch.zeros_like(gradient)
    for a in range(n_out):
        for b in range(n_in):
            for c in range(n_kernel):
                for i in range(n_out):
                    for j in range(n_in):
                        for k in range(n_kernel):
                            weight = matrices[0][a, i] * matrices[1][b, j] * matrices[2][c, k]
                            result[a, b, c] += weight * gradient[i, j, k]
    return result


def with_batch_statistics(module: nn.Module) -> nn.Module:
    """The oracle's mode: batch norm as in training, everything else as in testing."""
    module.eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.train()
    return module
