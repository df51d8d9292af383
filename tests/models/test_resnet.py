"""ResNet-12 against the textbook order of plain operations, and its parts by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, linear, max_pool2d

from fewshot_audio.config import check_input
from fewshot_audio.config.model import ResNet12Config
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.build import build_encoder
from fewshot_audio.models.resnet import DropBlock
from tests.models.test_encoders import batch_norm
from tests.numerics import normal, seeded_layers
from tests.tiny import tiny_configs


def build(seed: int = 0, **options: Any) -> tuple[ResNet12Config, Any]:
    config = ResNet12Config(**({"widths": [3, 4, 5, 6], "out_dim": 4} | options))
    with seeded_layers(seed):
        encoder = build_encoder("ResNet12", config, 49, 54).double()
        for parameter in encoder.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in encoder.named_buffers():
            if "running" in name:
                buffer.data.add_(torch.rand_like(buffer))
    return config, encoder


def reference(config: ResNet12Config, encoder: Any, x: Tensor, training: bool) -> Tensor:
    y = x.unsqueeze(1)
    if config.stem_stride > 1:
        conv, norm = encoder.stem[0], encoder.stem[1]
        y = conv2d(y, conv.weight, stride=config.stem_stride, padding=config.stem_stride - 1)
        y = leaky_relu(batch_norm(norm, y, training), 0.1)
    for number, block in enumerate(encoder.blocks):
        z = y
        for layer in range(3):
            z = batch_norm(block.norms[layer], conv2d(z, block.convs[layer].weight, padding=1), training)
            if layer < 2:
                z = leaky_relu(z, 0.1)
        shortcut = batch_norm(block.shortcut[1], conv2d(y, block.shortcut[0].weight), training)
        y = leaky_relu(z + shortcut, 0.1)
        if number < 3 or config.pool_last:
            y = max_pool2d(y, 2)
    positions = y.flatten(2)
    vector = positions.mean(-1)
    if config.pooling == "mean_max":
        vector = torch.cat([vector, positions.max(-1).values], 1)
    return linear(vector, encoder.linear.weight, encoder.linear.bias)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("pooling", "pool_last"), [("mean", True), ("mean_max", False)])
def test_values_and_gradients(stride: int, pooling: str, pool_last: bool, training: bool) -> None:
    config, encoder = build(stem_stride=stride, pooling=pooling, pool_last=pool_last)
    encoder.train(training)
    x = normal(3, 49, 54, seed=1).requires_grad_()
    weights = normal(3, 4, seed=2)
    inputs = [x, *encoder.parameters()]
    expected = reference(config, encoder, x, training)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), inputs)
    assert encoder.map_size == tuple(encoder.feature_map(x).shape[2:])
    encoder.train(training)
    actual = encoder(x)
    torch.testing.assert_close(actual, expected)
    for gradient, expected_gradient in zip(
        torch.autograd.grad((actual * weights).sum(), inputs), expected_gradients, strict=True
    ):
        torch.testing.assert_close(gradient, expected_gradient)


def test_the_default_has_less_than_a_million_parameters() -> None:
    encoder = build_encoder("ResNet12", ResNet12Config(), 128, 157)
    assert 850_000 < sum(p.numel() for p in encoder.parameters()) < 1_000_000
    assert encoder.map_size == (4, 4)


def test_the_published_widths_have_the_published_size() -> None:
    """MetaOptNet's ResNet-12 has 12.4 million parameters; ours reads one channel and adds the linear layer."""
    config = ResNet12Config(widths=[64, 160, 320, 640], stem_stride=1, out_dim=1)
    published = 12_424_320 - 2 * (64 * 9 + 64)  # two input channels fewer, in the convolution and the shortcut
    encoder = build_encoder("ResNet12", config, 84, 84)
    assert sum(p.numel() for p in encoder.parameters()) == published + 640 + 1


def test_drop_block_drops_squares_and_keeps_the_mean() -> None:
    drop = DropBlock(0.2, 3).train()
    with seeded_layers(3):
        y = drop(torch.ones(40, 5, 12, 13))
    dropped = y == 0
    assert 0.1 < dropped.double().mean() < 0.25
    assert y.mean().item() == pytest.approx(1, abs=1e-4)
    assert len(y.unique()) == 2
    squares = max_pool2d(-dropped.double(), 3, 1) == -1  # a square of dropped cells begins here
    covered = torch.zeros_like(dropped)
    for i in range(3):
        for j in range(3):
            covered[:, :, i : i + 10, j : j + 11] |= squares
    assert torch.equal(covered, dropped)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(drop.eval()(x), x)


def test_drop_block_is_cut_to_the_map() -> None:
    with seeded_layers(0):
        y = DropBlock(0.5, 5).train()(torch.ones(64, 4, 1, 2))
    assert 0 < (y == 0).double().mean() < 1


def test_an_input_too_small_is_refused() -> None:
    configs = tiny_configs({"encoder_name": "ResNet12", "ResNet12.stem_stride": 2})
    with pytest.raises(ConfigError, match=r"stem_stride: 2, then four poolings by 2 need 31 mel bins, .* has 16"):
        check_input(*configs, 16, 32)
    check_input(*configs, 31, 31)
    build_encoder("ResNet12", configs[1].ResNet12, 31, 31).eval()(torch.zeros(1, 31, 31))


def test_bf16_is_near_fp32() -> None:
    with seeded_layers(0):
        encoder = build_encoder("ResNet12", ResNet12Config(), 128, 157).eval()
    x = normal(2, 128, 157, seed=1, dtype=torch.float32)
    with torch.no_grad():
        exact = encoder(x)
        encoder.precision = "bf16"
        torch.testing.assert_close(encoder(x), exact, atol=0.02, rtol=0.05)
