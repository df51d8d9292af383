"""Training the first block without ever holding its convolution's output, the largest tensor of the network.

In training, batch norm needs mean and variance of all values that it normalizes. In textbook order, convolution, batch
norm, ReLU, max pool, these are the whole output of the convolution, held once more for the gradient. If the input is
data, so that no gradient flows into it, neither is needed:

- Statistics. A value of the output is y = w . p + b, where p is the patch of the input that it reads. With the mean m
  and covariance C of all patches, which do not depend on w, mean(y) = w . m + b and var(y) = w . C w.
- Order. Batch norm takes y to slope y + shift in each channel, which is monotone, so that max pooling may come first; a
  channel whose slope is negative is pooled by its smallest values, which are the largest of -w . p. After 3x3 pooling
  a ninth of the values is left.
- Gradient. Of the pooling only the positions of the maxima are kept. The weight's gradient is that of a convolution
  with the output's gradient at these positions; through the statistics it is left to autograd.

In exact arithmetic, values, gradients and running statistics are those of the textbook order; they are rounded
differently. One exception: if values tie, or a channel's batch norm weight is 0, the gradient may go to another of the
tied positions. Only training on a CPU goes this way, since there it pays: a peak of 1.54 instead of 4.3 GB, and 0.73 to
0.77 of the encoder's processor time (docs/performance.md, "Memory of training").
"""

import math
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL, PADDING = 3, 1
CHUNK = 2_000_000  # values of a convolution's output that are held at once: few enough for the CPU's cache


def is_first_in_training(block: nn.Module, x: Tensor) -> bool:
    """Whether ``conv_pool_norm`` may stand for a block on this input: training of a block of data, on the CPU."""
    return block.training and torch.is_grad_enabled() and not x.requires_grad and x.device.type == "cpu"


def conv_pool_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, pool: nn.MaxPool2d) -> Tensor:
    """Convolution, max pool and batch norm in training, with its running statistics, of data that needs no gradient.

    Args:
        x: the data.
        conv: 3x3 with padding 1.
        norm: with momentum.
        pool: with a stride of its size.

    Shape: x (n, in_channels, mels, frames) -> (n, channels, mels // size, frames // size).
    """
    bias = cast(Tensor, conv.bias)
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    with torch.autocast("cpu", enabled=False):
        x, weight = x.to(precision), conv.weight.to(precision)
        moments = patch_moments(x)
        filters = weight.flatten(1).double()
        mean = filters @ moments.mean + bias
        variance = ((filters @ moments.covariance) * filters).sum(1).clamp(min=0)
        if norm.track_running_stats:
            _track(norm, mean.detach(), variance.detach(), moments.patches)
        # If batch norm inverts a channel, its largest output comes from the convolution's smallest.
        sign = torch.where(norm.weight < 0, -1.0, 1.0)
        signed_weight = weight * sign.to(precision).view(-1, 1, 1, 1)
        pooled = PooledConv.apply(x, signed_weight, pool.kernel_size)  # type: ignore[no-untyped-call]
        slope = norm.weight * (variance + norm.eps).rsqrt()
        return scale_channels(pooled, slope * sign, norm.bias - slope * (mean - bias))


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics as ``nn.BatchNorm2d`` does."""
    cast(Tensor, norm.num_batches_tracked).add_(1)
    for running, batch in (
        (cast(Tensor, norm.running_mean), mean),
        (cast(Tensor, norm.running_var), variance * count / (count - 1)),
    ):
        running.lerp_(batch.to(running.dtype), cast(float, norm.momentum))


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
        patches = torch.stack(shifted(padded), 1).view(size, -1)
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
        channels, size = ctx.weight_shape[0], math.prod(ctx.weight_shape[1:])
        total = torch.zeros(channels, size, dtype=torch.promote_types(x.dtype, torch.float32))
        n = len(all_positions)
        with torch.autocast("cpu", enabled=False):
            for part, positions, gradient in zip(x.chunk(n), all_positions, gradients[0].chunk(n), strict=True):
                spread = F.max_unpool2d(gradient, positions, ctx.pool, output_size=part.shape[2:])
                # Products with the patches: half of the time of a convolution's gradient, which expects more channels.
                patches = torch.stack(shifted(F.pad(part, [PADDING] * 4)), 2).view(len(part), size, -1)
                total += torch.bmm(spread.flatten(2), patches.transpose(1, 2)).sum(0)
        return None, total.view(ctx.weight_shape).to(x.dtype), None


def shifted(padded: Tensor) -> list[Tensor]:
    """What each weight of a kernel reads of padded data: the data, moved. Shape: (..., height + 2, width + 2)."""
    height, width = padded.shape[-2] - 2 * PADDING, padded.shape[-1] - 2 * PADDING
    return [padded[..., i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]


def in_chunks(x: Tensor, values: int) -> tuple[Tensor, ...]:
    """Split a batch into chunks of about CHUNK values, if each example takes ``values`` values."""
    return x.chunk(math.ceil(len(x) * values / CHUNK))


def scale_channels(x: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    """Multiply and shift each channel, by torch's one fused kernel for it: batch norm with mean 0 and variance 1."""
    slope, shift = (value.to(torch.promote_types(x.dtype, torch.float32)) for value in (slope, shift))
    return F.batch_norm(x, torch.zeros_like(slope), torch.ones_like(slope), slope, shift, eps=0.0)
