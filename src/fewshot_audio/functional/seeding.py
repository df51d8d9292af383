"""Explicit randomness: generators keyed by (seed, phase, epoch, task) and a purpose.

Each use of randomness has a stream of its own, so that none depends on how often another one draws.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

from fewshot_audio.config.experiment import Phase

PHASE_CODES: dict[Phase, int] = {"train": 0, "validation": 1, "test": 2}


class Purpose(IntEnum):
    """Independent uses of randomness within one task."""

    EPISODE = 0
    VIEWS = 1
    CONTRAST = 2
    LAYERS = 3
    INIT = 4
    DRAW = 5
    INPUT = 6
    LABELS = 7


def seed_sequence(seed: int, phase: Phase, epoch: int, task: int, purpose: Purpose) -> np.random.SeedSequence:
    """Return the seed of one use of randomness in one task, from which the functions below are derived.

    Args:
        seed: the run's seed.
        phase: training, validation or test.
        epoch: number of the epoch, from 0; outside of training 0, or 1 for the fresh views of a task.
        task: number of the task in its epoch, from 0.
        purpose: the use.
    """
    return np.random.SeedSequence([seed, PHASE_CODES[phase], epoch, task, purpose])


def numpy_generator(seed: int, phase: Phase, epoch: int, task: int, purpose: Purpose) -> np.random.Generator:
    """Return a numpy generator for one use of randomness in one task, keyed as ``seed_sequence``."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, phase, epoch, task, purpose)))


def torch_seed(seed: int, phase: Phase, epoch: int, task: int, purpose: Purpose) -> int:
    """Return a seed for torch's generators, keyed as ``seed_sequence``."""
    return int(seed_sequence(seed, phase, epoch, task, purpose).generate_state(1, np.uint64)[0])


def torch_generator(seed: int, phase: Phase, epoch: int, task: int, purpose: Purpose) -> torch.Generator:
    """Return a CPU generator for one use of randomness in one task, keyed as ``seed_sequence``."""
    return torch.Generator().manual_seed(torch_seed(seed, phase, epoch, task, purpose))


@contextmanager
def fork_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout and initialization use, and restore them after the block.

    Args:
        seed: of the CPU's generator and, if ``device`` is a GPU, of the current GPU's.
        device: where the block computes.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield
