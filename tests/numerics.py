"""Seeded tensors and the ways between torch and the oracles' plain lists."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def query_labels(way: int, per_class: int, seed: int) -> Tensor:
    """Labels of an episode's query rows, equally many per class, in random order."""
    labels = torch.arange(way).repeat_interleave(per_class)
    return labels[torch.randperm(len(labels), generator=generator(seed))]


def gradients(value: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a scalar, zero where it does not depend on an input."""
    return torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)


@contextmanager
def seeded_layers(seed: int = 0) -> Iterator[None]:
    """torch's layers start from its global generator: seed it for the block, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def global_generator_untouched() -> Iterator[None]:
    """Fails if the block draws from torch's global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
