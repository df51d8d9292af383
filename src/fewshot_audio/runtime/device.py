"""The machine's side of a run: device, precision, threads and allocator, decided once at its start."""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.runtime.allocator import keep_pages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What decides the bits of a result beside the seed; a resumed run restores it."""

    device: str
    precision: Literal["fp32", "bf16"]
    threads: int
    allocator: Literal["kept", "system"]

    def as_json(self) -> dict[str, Any]:
        """Return the values to be kept in a run's folder."""
        return asdict(self)


def start_runtime(experiment: ExperimentConfig, recorded: dict[str, Any] | None = None) -> Runtime:
    """Set this process up for training or testing and return what was decided.

    With ``recorded`` (a run's former runtime) threads and precision are restored, so that a resumed run ends
    bit-equal on the CPU; ConfigError says so where this machine cannot.
    """
    device = resolve_device(experiment.device, experiment.gpu_index)
    precision = resolve_precision(experiment.precision, device)
    threads = torch.get_num_threads()
    if recorded:
        if recorded["precision"] == "bf16" and precision == "fp32" and experiment.precision == "auto":
            raise ConfigError(
                "this run was started in bf16, which this machine lacks: continue it where it was started"
            )
        if torch.device(recorded["device"]).type != device.type:
            raise ConfigError(f"this run was started on {recorded['device']}; it cannot go on bit-equal on {device}")
        precision, threads = recorded["precision"], recorded["threads"]
    torch.set_num_threads(threads)
    runtime = Runtime(str(device), precision, threads, "kept" if keep_pages() else "system")
    logger.info("device %s, precision %s, %d threads, allocator pages %s", *runtime.as_json().values())
    return runtime


def resolve_device(name: str, gpu_index: int) -> torch.device:
    """Return the device that ``device`` and ``gpu_index`` name. Raises ConfigError where there is no such GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError('device is "cuda", but no GPU is usable here: use --set device=cpu (or device=auto)')
    if gpu_index >= torch.cuda.device_count():
        raise ConfigError(f"gpu_index is {gpu_index}, but this machine has {torch.cuda.device_count()} GPU(s)")
    return torch.device("cuda", gpu_index)


def resolve_precision(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> Literal["fp32", "bf16"]:
    """Return the arithmetic of training: "auto" is bf16 where the device multiplies it fast, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
