"""Device, precision, threads and allocator of a run, chosen once at its start."""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from fewshot_audio.errors import ConfigError
from fewshot_audio.runtime.allocator import keep_pages

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """What determines the bits of a result besides the seed; a resumed run restores it.

    Attributes:
        device: "cpu", or "cuda:" and the index of the GPU.
        precision: arithmetic of training.
        threads: CPU threads that torch uses.
        allocator: "kept" if freed memory is kept by the process, else "system".
    """

    device: str
    precision: Precision
    threads: int
    allocator: Literal["kept", "system"]

    def as_json(self) -> dict[str, Any]:
        """Return the values as the run's folder stores them."""
        return asdict(self)


def start_runtime(
    device: str,
    gpu_index: int,
    precision: Literal["auto", "fp32", "bf16"],
    recorded: dict[str, Any] | None = None,
) -> Runtime:
    """Set up this process for training or testing: torch's threads and the allocator.

    Args:
        device: "cpu", "cuda" or "auto" (a GPU if there is one).
        gpu_index: which GPU.
        precision: arithmetic of training; "auto" as in ``resolve_precision``.
        recorded: ``Runtime.as_json`` of the run that is resumed. Its threads and precision are restored, so that the
            run ends bit-equal on the CPU.

    Returns:
        The resolved values.

    Raises:
        ConfigError: there is no such GPU, or the recorded device or precision is not available here.
    """
    resolved_device = resolve_device(device, gpu_index)
    resolved_precision = resolve_precision(precision, resolved_device)
    threads = torch.get_num_threads()
    if recorded:
        if recorded["precision"] == "bf16" and resolved_precision == "fp32" and precision == "auto":
            raise ConfigError("this run was started in bf16, which is not fast here: resume it where it was started")
        if torch.device(recorded["device"]).type != resolved_device.type:
            raise ConfigError(
                f"this run was started on {recorded['device']}: resumed on {resolved_device} it would not end bit-equal"
            )
        resolved_precision, threads = recorded["precision"], recorded["threads"]
    torch.set_num_threads(threads)
    runtime = Runtime(str(resolved_device), resolved_precision, threads, "kept" if keep_pages() else "system")
    logger.info("device %s, precision %s, %d threads, allocator pages %s", *runtime.as_json().values())
    return runtime


def resolve_device(name: str, gpu_index: int) -> torch.device:
    """Return the device that the config keys ``device`` and ``gpu_index`` name.

    Raises:
        ConfigError: there is no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError('device is "cuda", but no GPU is usable here: use --set device=cpu (or device=auto)')
    if gpu_index >= torch.cuda.device_count():
        raise ConfigError(f"gpu_index is {gpu_index}, but this machine has {torch.cuda.device_count()} GPU(s)")
    return torch.device("cuda", gpu_index)


def resolve_precision(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Return the arithmetic of training: "auto" is bf16 if the device multiplies it fast, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch lack it
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
