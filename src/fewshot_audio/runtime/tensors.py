"""Asynchronous transfer of tensors to a device."""

import torch
from torch import Tensor


def send(host: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from host memory to ``device``; to a GPU without waiting for the work in progress there."""
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
