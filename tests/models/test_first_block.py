"""The first block's own way through training, against convolution, batch norm, ReLU and max pool in textbook order."""

import copy
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from fewshot_audio.models import first_block
from fewshot_audio.models.blocks import ConvBlock
from fewshot_audio.models.first_block import patch_moments
from tests.numerics import normal, seeded_layers

CASES = [
    pytest.param((5, 1, 12, 15), (3, 3), id="no remainder"),
    pytest.param((4, 1, 13, 17), (3, 2), id="remainders that pooling leaves out"),
    pytest.param((2, 1, 9, 7), (1, 1), id="no pooling"),
    pytest.param((1, 1, 6, 8), (6, 8), id="one value left"),
    pytest.param((3, 2, 8, 9), (2, 3), id="two channels of data"),
]


def make(in_channels: int, pool: tuple[int, int], channels: int = 6) -> ConvBlock:
    """A float64 block with all parameters away from their start, every other channel turned over by its norm."""
    with seeded_layers():
        block = ConvBlock(in_channels, channels, pool).double()
    with torch.no_grad():
        for number, value in enumerate([block.norm.weight, block.norm.bias, block.norm.running_mean]):
            assert value is not None
            value.copy_(normal(channels, seed=number))
        block.norm.weight[::2] = -block.norm.weight[::2].abs()
        block.norm.weight[1::2] = block.norm.weight[1::2].abs()
    return block


def textbook(block: ConvBlock, x: Tensor) -> Tensor:
    result: Tensor = block.pool(torch.relu(block.norm(block.conv(x))))
    return result


def buffers(block: ConvBlock) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in block.named_buffers()}


@pytest.mark.parametrize("chunk", [1, 700, 10**9])
@pytest.mark.parametrize(("shape", "pool"), CASES)
def test_values_gradients_and_running_statistics(
    shape: tuple[int, ...], pool: tuple[int, int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_block, "CHUNK", chunk)
    block = make(shape[1], pool)
    reference = copy.deepcopy(block)
    x = 3 * normal(*shape, seed=1) - 5
    for _ in range(2):
        actual, expected = block(x), textbook(reference, x)
        torch.testing.assert_close(actual, expected)
    weights = normal(*actual.shape, seed=2)
    gradients = torch.autograd.grad((actual * weights).sum(), list(block.parameters()))
    expected_gradients = torch.autograd.grad((expected * weights).sum(), list(reference.parameters()))
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)
    torch.testing.assert_close(buffers(block), buffers(reference))


@pytest.mark.parametrize(("shape", "pool"), CASES)
def test_gradients_are_those_of_finite_differences(shape: tuple[int, ...], pool: tuple[int, int]) -> None:
    block = make(shape[1], pool, channels=2)
    x = normal(*shape, seed=1)
    names = [name for name, _ in block.named_parameters()]

    def value(*parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(block, dict(zip(names, parameters, strict=True)), x)
        return result

    assert torch.autograd.gradcheck(value, tuple(p.detach().requires_grad_() for p in block.parameters()))


def test_the_bias_has_no_part_in_training() -> None:
    """Batch norm takes it away again: its gradient is 0 itself, no rounding that Adam would make steps of."""
    block = make(1, (2, 2)).float()
    torch.autograd.backward(block(normal(3, 1, 8, 8, seed=1).float()).square().sum())
    gradient = cast(Tensor, cast(Tensor, block.conv.bias).grad)
    assert gradient.tolist() == [0] * 6


def test_a_channel_that_batch_norm_switches_off() -> None:
    block = make(1, (2, 2))
    with torch.no_grad():
        block.norm.weight[1] = 0
        block.norm.bias[1] = 0.5
    reference = copy.deepcopy(block)
    x = normal(3, 1, 8, 8, seed=1)
    actual, expected = block(x), textbook(reference, x)
    torch.testing.assert_close(actual, expected)
    torch.autograd.backward([actual.sum(), expected.sum()])
    for parameter, other in ((block.conv.weight, reference.conv.weight), (block.norm.bias, reference.norm.bias)):
        torch.testing.assert_close(parameter.grad, other.grad)


@pytest.mark.parametrize("value", [0.0, -100.0])
def test_silence_is_finite(value: float) -> None:
    block = make(1, (2, 2)).float()
    reference = copy.deepcopy(block)
    x = torch.full((3, 1, 16, 16), value)
    actual = block(x)
    torch.testing.assert_close(actual, textbook(reference, x), rtol=1e-4, atol=1e-4)
    torch.autograd.backward(actual.sum())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_a_filter_that_answers_nothing_is_finite() -> None:
    """Its variance is 0 but for rounding, which must not take it below."""
    block = make(1, (2, 2), channels=9).float()
    x = 1e4 * normal(1, 1, 2, 2, seed=1).float()
    patches = nn.functional.unfold(x.double(), 3, padding=1)[0].T
    blind = torch.linalg.svd(patches - patches.mean(0)).Vh[3:]
    with torch.no_grad():
        block.conv.weight[: len(blind)] = blind.view(-1, 1, 3, 3).float()
    assert block(x).isfinite().all()


@pytest.mark.parametrize("offset", [0.0, -100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_moments_are_those_of_all_patches(dtype: torch.dtype, offset: float) -> None:
    x = (normal(7, 2, 9, 11, seed=1) + offset).to(dtype)
    patches = nn.functional.unfold(x.double(), 3, padding=1).transpose(1, 2).flatten(0, 1)
    moments = patch_moments(x)
    assert moments.patches == len(patches) == 7 * 9 * 11
    torch.testing.assert_close(moments.mean, patches.mean(0), rtol=1e-6, atol=1e-4)
    covariance = patches.T.cov(correction=0)
    atol = 1e-6 * covariance.max().item()
    torch.testing.assert_close(moments.covariance, covariance, rtol=1e-5, atol=atol)


def test_bf16_comes_as_near_to_float64_as_the_textbook_does() -> None:
    """Errors of bf16 (values of 8 bits) in value and weight gradient, beside those of torch's own layers."""
    exact = make(1, (3, 3), channels=16)
    x = normal(20, 1, 40, 40, seed=1)

    def run(block: ConvBlock, forward: Any, data: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=data.dtype == torch.float32):
            y = forward(data)
        torch.autograd.backward((y.double() * normal(*y.shape, seed=2)).sum())
        assert block.conv.weight.grad is not None
        return y.double(), block.conv.weight.grad.double()

    one, other = copy.deepcopy(exact).float(), copy.deepcopy(exact).float()
    expected = run(exact, exact, x)
    ours, theirs = run(one, one, x.float()), run(other, lambda data: textbook(other, data), x.float())
    for value, plain, truth in zip(ours, theirs, expected, strict=True):
        error, usual = (value - truth).norm() / truth.norm(), (plain - truth).norm() / truth.norm()
        assert error < 1.5 * usual + 1e-3
    variances = [cast(Tensor, block.norm.running_var).double() for block in (one, exact)]
    torch.testing.assert_close(*variances, rtol=5e-3, atol=1e-4)


def test_the_same_bits_twice() -> None:
    results = []
    for _ in range(2):
        block = make(1, (3, 3)).float()
        with torch.autocast("cpu", torch.bfloat16):
            torch.autograd.backward(block(normal(9, 1, 20, 20, seed=1).float()).float().square().sum())
        results.append([*buffers(block).values(), *(p.grad for p in block.parameters())])
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_training_keeps_less_than_the_output_of_the_convolution() -> None:
    """What backward needs of the first block: places of maxima and the pooled map, nothing of the full size."""
    block = make(1, (3, 3), channels=8).float()
    x = normal(12, 1, 60, 60, seed=1).float()
    bytes_by_pointer: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        bytes_by_pointer[value.data_ptr()] = value.untyped_storage().nbytes()
        return value

    with saved_tensors_hooks(note, lambda value: value):
        block(x)
    assert 0 < sum(bytes_by_pointer.values()) < 0.75 * len(x) * 8 * 60 * 60 * 4


def test_other_ways_through_the_block_are_the_layers_themselves() -> None:
    """In eval mode, without gradients, and for input that needs a gradient."""
    block, x = make(2, (2, 2)), normal(3, 2, 8, 8, seed=1)
    leaf = x.clone().requires_grad_()
    reference = copy.deepcopy(block)
    (gradient,) = torch.autograd.grad(block(leaf).square().sum(), leaf)
    (expected,) = torch.autograd.grad(textbook(reference, leaf).square().sum(), leaf)
    torch.testing.assert_close(gradient, expected)
    with torch.no_grad():
        torch.testing.assert_close(block(x), textbook(reference, x))
    torch.testing.assert_close(block.eval()(x), textbook(reference.eval(), x))
    torch.testing.assert_close(buffers(block), buffers(reference))
