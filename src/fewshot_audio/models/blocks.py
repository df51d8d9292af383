"""The convolution block, and a cheaper way to train the first one, whose input needs no gradient."""

import math
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

KERNEL, PADDING = 3, 1
CHUNK = 2_000_000  # values of a convolution's output that are held at once: few enough for the CPU's cache


class ConvBlock(nn.Module):
    """Convolution 3x3, batch norm, ReLU, max pool.

    Shape: (n, in_channels, mels, frames) -> (n, channels, mels // pool, frames // pool).
    """

    def __init__(self, in_channels: int, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, KERNEL, padding=PADDING)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; max pooling comes before ReLU, which is the same function and cheaper."""
        if self.training and torch.is_grad_enabled() and not x.requires_grad and x.device.type == "cpu":
            return torch.relu(self._pool_first(x))
        return torch.relu(self.pool(self.norm(self.conv(x))))

    def _pool_first(self, x: Tensor) -> Tensor:
        """Convolution, max pool, batch norm of data in training, without ever holding the convolution's whole output.

        That output is by far the largest tensor of the network. Batch norm is monotone in each channel, so it may
        follow the pooling if the statistics of the values before pooling are known; and for a convolution of data
        these follow from the moments of the data's patches: mean = w . m + b, variance = w . C w. Autograd does the
        rest. If values tie (or a channel's batch norm weight is 0), a gradient may go to another of the tied positions.
        """
        norm, bias = self.norm, cast(Tensor, self.conv.bias)
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        with torch.autocast("cpu", enabled=False):
            x, weight = x.to(precision), self.conv.weight.to(precision)
            moments = patch_moments(x)
            filters = weight.flatten(1).double()
            mean = filters @ moments.mean + bias
            variance = ((filters @ moments.covariance) * filters).sum(1).clamp(min=0)
            self._track(mean.detach(), variance.detach(), moments.patches)
            # If batch norm inverts a channel, its largest output comes from the convolution's smallest.
            sign = torch.where(norm.weight < 0, -1.0, 1.0)
            signed_weight = weight * sign.to(precision).view(-1, 1, 1, 1)
            pooled = PooledConv.apply(x, signed_weight, self.pool.kernel_size)  # type: ignore[no-untyped-call]
            slope = norm.weight * (variance + norm.eps).rsqrt()
            return scale_channels(pooled, slope * sign, norm.bias - slope * (mean - bias))

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as ``nn.BatchNorm2d`` does."""
        cast(Tensor, self.norm.num_batches_tracked).add_(1)
        for running, batch in (
            (cast(Tensor, self.norm.running_mean), mean),
            (cast(Tensor, self.norm.running_var), variance * count / (count - 1)),
        ):
            running.lerp_(batch.to(running.dtype), cast(float, self.norm.momentum))


class PatchMoments(NamedTuple):
    """Mean (k,) and covariance (k, k), float64, of ``patches`` patches of k = channels x 3 x 3 values."""

    mean: Tensor
    covariance: Tensor
    patches: int


@torch.no_grad()
def patch_moments(x: Tensor) -> PatchMoments:
    """Moments of all patches that a 3x3 convolution with padding 1 reads. Shape: x (n, channels, height, width)."""
    n, channels, height, width = x.shape
    size, count = channels * KERNEL**2, n * height * width
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    center = x.mean((0, 2, 3))  # products of centered values lose no digits if the mean is large
    total, products = x.new_zeros(size, dtype=torch.float64), x.new_zeros(size, size, dtype=torch.float64)
    for part in in_chunks(x, size * height * width):
        padded = F.pad(part.transpose(0, 1), [PADDING] * 4) - center.view(-1, 1, 1, 1)
        shifted = [padded[..., i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]
        patches = torch.stack(shifted, 1).view(size, -1)
        total += patches.sum(1)
        products += patches @ patches.T
    mean = total / count
    return PatchMoments(mean + center.repeat_interleave(KERNEL**2), products / count - mean.outer(mean), count)


class PooledConv(torch.autograd.Function):
    """Max pool of a 3x3 convolution of data, a few examples at a time; only the positions of the maxima are kept.

    Shape: x (n, in_channels, height, width), weight (channels, in_channels, 3, 3), pool (mels, frames).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pool: tuple[int, int]) -> Tensor:
        """Convolve and pool."""
        chunks = in_chunks(x, len(weight) * x.shape[2] * x.shape[3])
        parts = [F.max_pool2d(F.conv2d(part, weight, padding=PADDING), pool, return_indices=True) for part in chunks]
        ctx.pool, ctx.weight_shape = pool, weight.shape
        ctx.save_for_backward(x, *(positions for _, positions in parts))
        return torch.cat([largest for largest, _ in parts])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        """Gradient of the weight, summed in float32 or better."""
        x, *all_positions = ctx.saved_tensors
        total = torch.zeros(ctx.weight_shape, dtype=torch.promote_types(x.dtype, torch.float32))
        n = len(all_positions)
        with torch.autocast("cpu", enabled=False):
            for part, positions, gradient in zip(x.chunk(n), all_positions, gradients[0].chunk(n), strict=True):
                spread = F.max_unpool2d(gradient, positions, ctx.pool, output_size=part.shape[2:])
                total += conv2d_weight(part, ctx.weight_shape, spread, padding=PADDING)  # type: ignore[no-untyped-call]
        return None, total.to(x.dtype), None


def in_chunks(x: Tensor, values: int) -> tuple[Tensor, ...]:
    """Split a batch into chunks of about CHUNK values, if each example takes ``values`` values."""
    return x.chunk(math.ceil(len(x) * values / CHUNK))


def scale_channels(x: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    """Multiply and shift each channel, by torch's one fused kernel for it: batch norm with mean 0 and variance 1."""
    slope, shift = (value.to(torch.promote_types(x.dtype, torch.float32)) for value in (slope, shift))
    return F.batch_norm(x, torch.zeros_like(slope), torch.ones_like(slope), slope, shift, eps=0.0)
