"""The base class of encoders."""

from typing import Literal

from torch import nn


class Encoder(nn.Module):
    """Embeds a batch of segments.

    Attributes:
        precision: arithmetic of the part that takes most of the time.
        sample_rate: rate of the waveforms that it reads, Hz; None if it reads normalized log-mel features.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    sample_rate: int | None = None
