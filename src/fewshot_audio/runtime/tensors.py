"""Asynchronous transfer of tensors to a device, and reading tensor files without trusting them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_atomic


def save_tensors(path: Path, value: Any) -> None:
    """Write tensors and plain values atomically."""
    write_atomic(path, lambda stream: torch.save(value, stream))


def load_tensors(path: Path) -> Any:
    """Read tensors and plain values to the CPU, refusing any other pickled object.

    Raises:
        DataError: the file cannot be read, is damaged, or holds other objects; names the file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage provokes
        raise DataError(f"{path}: not a readable file of tensors ({error})") from error


def send(host: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from host memory to ``device``; to a GPU without waiting for the work in progress there."""
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
