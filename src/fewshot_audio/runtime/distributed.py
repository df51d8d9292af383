"""Processes that train one network together: each draws its own episodes; rank zero alone decides and writes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from fewshot_audio.errors import ConfigError, FewShotError, OtherRankError
from fewshot_audio.runtime.device import resolve_device
from fewshot_audio.runtime.silence import quiet_libraries

T = TypeVar("T")

TIMEOUT = timedelta(hours=6)  # how long the others wait while rank zero packs a store or tests


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this one is.

    Attributes:
        devices: processes on each machine.
        nodes: machines.
        rank: number of this process among all.
        local_rank: number of this process on its machine.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    local_rank: int = 0

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is rank zero, the only process that writes and reports."""
        return self.rank == 0

    def own_gpu(self, gpu_index: int) -> int:
        """Return the index of this rank's GPU; on each machine they are counted from ``gpu_index``."""
        return gpu_index + self.local_rank

    def tasks(self, tasks: int, per_step: int) -> list[int]:
        """Return this rank's tasks of an epoch.

        A step takes consecutive tasks: first those of rank zero, then those of rank one, and so on.

        Args:
            tasks: number of tasks of the epoch, of all ranks.
            per_step: tasks of each rank in a step.
        """
        return [task for task in range(tasks) if task // per_step % self.size == self.rank]

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """Do ``work`` on rank zero only, and return its result on every rank; all ranks must call this.

        Raises:
            FewShotError: as ``work`` raises it, on rank zero.
            OtherRankError: the same message, on all other ranks.
        """
        if self.size == 1:
            return work()
        outcome = _attempt(work) if self.is_rank_zero else [None, None]
        dist.broadcast_object_list(outcome, src=0)
        result, error = outcome
        self._stop(error)
        return cast(T, result)

    def on_all_ranks(self, work: Callable[[], T]) -> T:
        """Do ``work`` on every rank, and return each rank's own result; all ranks must call this.

        Raises:
            FewShotError: the first one that any rank's ``work`` raised, on rank zero.
            OtherRankError: the same message, on all other ranks.
        """
        if self.size == 1:
            return work()
        result, error = _attempt(work)
        errors: list[FewShotError | None] = [None] * self.size
        dist.all_gather_object(errors, error)
        self._stop(next(filter(None, errors), None))
        return cast(T, result)

    def all_gather(self, values: Tensor) -> Tensor:
        """Collect a tensor of the same shape from every rank.

        Shape:
            (...) -> (ranks, ...).
        """
        if self.size == 1:
            return values.unsqueeze(0)
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def _stop(self, error: FewShotError | None) -> None:
        if error:
            raise error if self.is_rank_zero else OtherRankError(str(error))


SINGLE_PROCESS = Ranks()


def _attempt(work: Callable[[], Any]) -> list[Any]:
    """Return [result, None] or [None, error]."""
    try:
        return [work(), None]
    except FewShotError as error:
        return [None, error]


@contextmanager
def launch_ranks(device: str, gpu_index: int, devices: int = 1, nodes: int = 1) -> Iterator[Ranks]:
    """Join ``devices`` processes on each of ``nodes`` machines, with one GPU each or on the CPU.

    Under torchrun and SLURM the processes already exist. Otherwise this command is run again for each other process of
    this machine; several machines find each other by the environment variables ``MASTER_ADDR``, ``MASTER_PORT`` and
    ``NODE_RANK``.

    Args:
        device: "cpu", "cuda" or "auto", as in the config.
        gpu_index: the first GPU used on each machine.
        devices: processes on each machine.
        nodes: machines.

    Yields:
        The processes, and which of them this one is. If the block raises, the processes started here are killed.

    Raises:
        ConfigError: the machine has fewer GPUs, or torchrun or SLURM started another number of processes.
    """
    if devices * nodes == 1:
        yield SINGLE_PROCESS
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    first = resolve_device(device, gpu_index)
    if first.type == "cuda" and gpu_index + devices > torch.cuda.device_count():
        raise ConfigError(
            f"{devices} devices from gpu_index {gpu_index} on are asked for, but this machine has "
            f"{torch.cuda.device_count()} GPU(s)"
        )
    try:
        fabric = Fabric(
            accelerator="gpu" if first.type == "cuda" else "cpu",
            devices=local_devices(first, gpu_index, devices),
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=TIMEOUT),
        )
        with quiet_libraries():
            fabric.launch()
    except ValueError as error:  # torchrun or SLURM started another number of processes
        raise ConfigError(f"--devices {devices} --nodes {nodes}: {error}") from error
    children = getattr(fabric.strategy.launcher, "procs", [])
    try:
        yield Ranks(devices, nodes, fabric.global_rank, fabric.local_rank)
    except BaseException:
        for child in children:  # they wait for this process
            child.kill()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for child in children:
            child.wait()
        if children:
            del os.environ["LOCAL_RANK"]  # otherwise Lightning concludes that the processes are already running


def local_devices(device: torch.device, gpu_index: int, devices: int) -> list[int] | int:
    """Return Lightning's ``devices`` argument: indices of a machine's GPUs, or the number of processes on the CPU."""
    return list(range(gpu_index, gpu_index + devices)) if device.type == "cuda" else devices
