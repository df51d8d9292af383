"""What every encoder declares."""

from typing import Literal

from torch import nn


class Encoder(nn.Module):
    """A segment in, an embedding out: its input, and the arithmetic of its heavy part."""

    precision: Literal["fp32", "bf16"] = "fp32"
    sample_rate: int | None = None
    """Rate of the waveforms that it reads, Hz; None: it reads normalized log-mel features."""
