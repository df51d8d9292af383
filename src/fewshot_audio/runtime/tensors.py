"""Tensors on their way: to the device without waiting for it, and to files, read without trusting them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_atomic

MODEL_FILE = "model.pt"


def save_tensors(path: Path, value: Any) -> None:
    """Write tensors and plain values atomically."""
    write_atomic(path, lambda stream: torch.save(value, stream))


def load_tensors(path: Path) -> Any:
    """Read tensors and plain values on the CPU; a stranger's pickle is refused. Raises DataError naming the file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage provokes
        raise DataError(f"{path}: not a readable file of tensors ({error})") from error


def send(host: Tensor, device: torch.device) -> Tensor:
    """Copy from the host; to a GPU without waiting for the work that is under way there."""
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
