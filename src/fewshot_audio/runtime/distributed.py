"""Several processes that train one network together: each draws its own episodes, rank zero decides and writes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.errors import ConfigError, FailedElsewhere, FewShotError
from fewshot_audio.runtime.device import resolve_device
from fewshot_audio.runtime.silence import quiet

T = TypeVar("T")

PATIENCE = timedelta(hours=6)  # how long the others wait while rank zero packs a store or tests


@dataclass(frozen=True)
class Ranks:
    """``devices`` processes on each of ``nodes`` machines; this one is ``rank`` of all and ``local`` on its machine."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    local: int = 0

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes

    @property
    def leads(self) -> bool:
        """Whether this is rank zero, the only one that writes and reports."""
        return self.rank == 0

    def placed(self, experiment: ExperimentConfig) -> ExperimentConfig:
        """The experiment on this rank's own GPU: they are counted from ``gpu_index`` on each machine."""
        return experiment.model_copy(update={"gpu_index": experiment.gpu_index + self.local})

    def tasks(self, tasks: int, per_step: int) -> list[int]:
        """This rank's tasks of an epoch. A step takes consecutive ones: first rank zero's, then rank one's, ..."""
        return [task for task in range(tasks) if task // per_step % self.size == self.rank]

    def decide(self, decision: Callable[[], T]) -> T:
        """Have rank zero do something and tell its answer to all; its FewShotError stops all."""
        if self.size == 1:
            return decision()
        told: list[Any] = [None, None]
        if self.leads:
            try:
                told[0] = decision()
            except FewShotError as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0)
        self._stop(told[1])
        return cast(T, told[0])

    def together(self, work: Callable[[], T]) -> T:
        """Do something on every rank; a FewShotError on any of them stops all."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        try:
            outcome[0] = work()
        except FewShotError as error:
            outcome[1] = error
        failures: list[FewShotError | None] = [None] * self.size
        dist.all_gather_object(failures, outcome[1])
        self._stop(next((failure for failure in failures if failure), None))
        return cast(T, outcome[0])

    def stack(self, values: Tensor) -> Tensor:
        """Collect a tensor of the same shape from every rank. Shape: (...) -> (ranks, ...)."""
        if self.size == 1:
            return values.unsqueeze(0)
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def _stop(self, failure: FewShotError | None) -> None:
        """Where a rank has failed, rank zero raises its error and the others leave quietly."""
        if failure:
            raise failure if self.leads else FailedElsewhere(str(failure))


ALONE = Ranks()


@contextmanager
def launched(experiment: ExperimentConfig, devices: int = 1, nodes: int = 1) -> Iterator[Ranks]:
    """Join the processes of ``nodes`` machines with ``devices`` processes each, a GPU each or on the CPU.

    Under torchrun and SLURM the processes exist already; else the other ones of this machine are started by running
    this command again, and on several machines ``MASTER_ADDR``, ``MASTER_PORT`` and ``NODE_RANK`` say where they meet.
    Raises ConfigError where the numbers do not fit the machine.
    """
    if devices * nodes == 1:
        yield ALONE
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    device = resolve_device(experiment.device, experiment.gpu_index)
    if device.type == "cuda" and experiment.gpu_index + devices > torch.cuda.device_count():
        raise ConfigError(
            f"{devices} devices from gpu_index {experiment.gpu_index} on are asked for, but this machine has "
            f"{torch.cuda.device_count()} GPU(s)"
        )
    try:
        fabric = Fabric(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=local_devices(device, experiment.gpu_index, devices),
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=PATIENCE),
        )
        with quiet():
            fabric.launch()
    except ValueError as error:  # torchrun or SLURM started another number of processes
        raise ConfigError(f"--devices {devices} --nodes {nodes}: {error}") from error
    started = getattr(fabric.strategy.launcher, "procs", [])
    try:
        yield Ranks(devices, nodes, fabric.global_rank, fabric.local_rank)
    except BaseException:
        for process in started:  # they wait for this one
            process.kill()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for process in started:
            process.wait()
        if started:
            del os.environ["LOCAL_RANK"]  # Lightning's mark of a process whose like are running already


def local_devices(device: torch.device, gpu_index: int, devices: int) -> list[int] | int:
    """What Lightning is told: which GPUs of a machine, or how many processes on the CPU."""
    return list(range(gpu_index, gpu_index + devices)) if device.type == "cuda" else devices
