"""The encoders against the textbook order of plain operations on the same weights: values, gradients, statistics."""

import json
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, max_pool2d

from fewshot_audio.config.model import CNNConfig, HybridConfig
from fewshot_audio.models.build import build_encoder
from tests.numerics import generator, normal, seeded_layers

SeqType = Literal["RNN", "GRU", "LSTM"]
SEQ_TYPES: tuple[SeqType, ...] = ("RNN", "GRU", "LSTM")


def cnn_config(hidden: int = 3, pool: tuple[int, int] = (2, 2), out: int = 4) -> CNNConfig:
    section = {"hidden_channels": hidden, "pool_dim": pool, "out_dim": out}
    return CNNConfig.model_validate_json(json.dumps(section))


def pooled(config: CNNConfig, pooling: str, pool_last: bool) -> Any:
    return type(config).model_validate(config.model_dump() | {"pooling": pooling, "pool_last": pool_last})


def hybrid_config(
    seq_type: SeqType = "RNN",
    bidirectional: bool = False,
    seq_layers: int = 1,
    hidden: int = 3,
    pool: tuple[int, int] = (2, 2),
    out: int = 4,
) -> HybridConfig:
    section = cnn_config(hidden, pool, out).model_dump()
    section |= {"seq_layers": seq_layers, "seq_type": seq_type, "bidirectional": bidirectional}
    return HybridConfig.model_validate_json(json.dumps(section))


def build(config: CNNConfig, mels: int, frames: int, seed: int = 0) -> Any:
    """A float64 encoder whose every parameter and statistic is away from its starting value."""
    name: Literal["CNN", "Hybrid"] = "Hybrid" if isinstance(config, HybridConfig) else "CNN"
    with seeded_layers(seed):
        encoder = build_encoder(name, config, mels, frames).double()
    rng = generator(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
        for name_, buffer in encoder.named_buffers():
            if name_.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=rng, dtype=torch.float64))
            elif name_.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=rng, dtype=torch.float64))
    return encoder


# The reference: conv -> batch norm -> ReLU -> max pool, then the recurrent layer one step at a time.


def batch_norm(norm: Any, x: Tensor, training: bool) -> Tensor:
    shape = [1, -1] + [1] * (x.ndim - 2)
    axes = [d for d in range(x.ndim) if d != 1]
    mean: Tensor = x.mean(axes) if training else norm.running_mean
    var: Tensor = x.var(axes, correction=0) if training else norm.running_var
    scale: Tensor = norm.weight / (var + norm.eps).sqrt()
    shift: Tensor = norm.bias
    return (x - mean.reshape(shape)) * scale.reshape(shape) + shift.reshape(shape)


def blocks(encoder: Any, x: Tensor, config: CNNConfig, training: bool) -> Tensor:
    x = x.unsqueeze(1)
    assert len(encoder.blocks) == 4
    for number, block in enumerate(encoder.blocks):
        x = conv2d(x, block.conv.weight, block.conv.bias, padding=1)
        x = batch_norm(block.norm, x, training).relu()
        if number < 3 or config.pool_last:
            x = max_pool2d(x, config.pool_dim)
    return x


def pool_positions(encoder: Any, config: CNNConfig, positions: Tensor) -> Tensor:
    """(n, positions, width) -> (n, width or twice that), one example and one position at a time."""
    pooled_ = []
    for example in positions:
        rows = list(example)
        parts = [sum(rows) / len(rows)]
        if config.pooling == "mean_max":
            largest = rows[0]
            for row in rows[1:]:
                largest = torch.where(row > largest, row, largest)
            parts.append(largest)
        pooled_.append(torch.cat(parts))
    return torch.stack(pooled_)


def cell(seq_type: SeqType, weights: list[Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    w_ih, w_hh, b_ih, b_hh = weights
    from_input, from_hidden = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if seq_type == "RNN":
        return (from_input + from_hidden).tanh(), c
    if seq_type == "GRU":
        r_x, z_x, n_x = from_input.chunk(3, dim=1)
        r_h, z_h, n_h = from_hidden.chunk(3, dim=1)
        r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
        return (1 - z) * (n_x + r * n_h).tanh() + z * h, c
    i, f, g, o = (from_input + from_hidden).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def recurrent(encoder: Any, config: HybridConfig, sequence: Tensor) -> Tensor:
    """(n, time, width) -> (n, time, width), or twice the width if bidirectional."""
    n, steps, width = sequence.shape
    for layer in range(config.seq_layers):
        directions = []
        for suffix in ("", "_reverse")[: 1 + config.bidirectional]:
            weights = [
                getattr(encoder.rnn, f"{name}_l{layer}{suffix}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            h = c = sequence.new_zeros(n, width)
            outputs: dict[int, Tensor] = {}
            for t in reversed(range(steps)) if suffix else range(steps):
                h, c = cell(config.seq_type, weights, sequence[:, t], h, c)
                outputs[t] = h
            directions.append(torch.stack([outputs[t] for t in range(steps)], dim=1))
        sequence = torch.cat(directions, dim=2)
    return sequence


def features(encoder: Any, config: CNNConfig, x: Tensor, training: bool) -> Tensor:
    """Everything up to the dropout."""
    maps = blocks(encoder, x, config, training)
    if not isinstance(config, HybridConfig):
        return maps.flatten(1) if config.pooling == "last" else pool_positions(encoder, config, maps.flatten(2).mT)
    sequence = maps.permute(0, 3, 1, 2).flatten(2)  # (n, time, channels x mels)
    width = sequence.shape[2]
    output = recurrent(encoder, config, sequence)
    if config.bidirectional:
        output = output[..., :width] + output[..., width:]
    return (
        (output + sequence)[:, -1] if config.pooling == "last" else pool_positions(encoder, config, output + sequence)
    )


def reference(encoder: Any, config: CNNConfig, x: Tensor, training: bool, dropped: float = 1.0) -> Tensor:
    y = batch_norm(encoder.norm, dropped * features(encoder, config, x, training), training)
    return linear(y, encoder.linear.weight, encoder.linear.bias)


CASES = [
    pytest.param(cnn_config(), 16, 33, id="CNN"),
    pytest.param(cnn_config(pool=(2, 3)), 17, 81, id="CNN pooling unlike in mels and time"),
    pytest.param(hybrid_config(), 16, 16, id="one step"),
    pytest.param(hybrid_config(pool=(3, 2)), 81, 50, id="Hybrid pooling unlike in mels and time"),
    pytest.param(hybrid_config(), 35, 37, id="two mel bins left"),
    pytest.param(hybrid_config("GRU", bidirectional=True, seq_layers=2), 33, 50, id="all at once"),
    *(
        pytest.param(hybrid_config(seq_type, bidirectional), 16, 50, id=f"{seq_type}{' both ways' * bidirectional}")
        for seq_type in SEQ_TYPES
        for bidirectional in (False, True)
    ),
    *(
        pytest.param(pooled(config, pooling, pool_last), 17, 34, id=f"{name} {pooling}{' unpooled' * (not pool_last)}")
        for name, config in (("CNN", cnn_config()), ("Hybrid", hybrid_config("GRU")))
        for pooling in ("last", "mean", "mean_max")
        for pool_last in (True, False)
        if pooling != "last" or not pool_last
    ),
]


@pytest.mark.parametrize(("config", "mels", "frames"), CASES)
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(config: CNNConfig, mels: int, frames: int, training: bool) -> None:
    encoder = build(config, mels, frames)
    encoder.train(training)
    encoder.dropout.p = 0.0
    x = normal(5, mels, frames, seed=1).requires_grad_()
    weights = normal(5, config.out_dim, seed=2)
    inputs = [x, *encoder.parameters()]

    expected = reference(encoder, config, x, training)  # before the encoder moves its running statistics
    expected_gradients = torch.autograd.grad((expected * weights).sum(), inputs)
    actual = encoder(x)
    gradients = torch.autograd.grad((actual * weights).sum(), inputs)

    assert actual.shape == (5, config.out_dim)
    torch.testing.assert_close(actual, expected)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("config", [cnn_config(), hybrid_config()])
def test_running_statistics_move_by_a_tenth(config: CNNConfig) -> None:
    encoder = build(config, 16, 32).train()
    encoder.dropout.p = 0.0
    x = normal(6, 16, 32, seed=1)
    first, last = encoder.blocks[0], encoder.norm
    pairs = [
        (first.norm, conv2d(x.unsqueeze(1), first.conv.weight, first.conv.bias, padding=1)),
        (last, features(encoder, config, x, training=True)),
    ]
    expected = []
    for norm, seen in pairs:
        axes = [d for d in range(seen.ndim) if d != 1]
        mean, var = seen.mean(axes), seen.var(axes, correction=1)
        expected.append((0.9 * norm.running_mean + 0.1 * mean, 0.9 * norm.running_var + 0.1 * var))
    encoder(x)
    for (norm, _), (mean, var) in zip(pairs, expected, strict=True):
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, var)


@pytest.mark.parametrize("config", [cnn_config(), hybrid_config()])
def test_dropout_of_three_tenths_acts_before_the_last_norm(config: CNNConfig) -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    encoder = build(config, 16, 32).eval()
    assert encoder.dropout.p == 0.3
    x = normal(3, 16, 32, seed=1)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    with seeded_layers():
        assert not torch.equal(encoder(x), encoder(x))
    encoder.dropout = Half()
    encoder.eval()
    torch.testing.assert_close(encoder(x), reference(encoder, config, x, training=False, dropped=0.5))


@pytest.mark.parametrize("name", ["CNN", "Hybrid"])
def test_by_hand(name: Literal["CNN", "Hybrid"]) -> None:
    """Convolutions that pass their input on, a silent recurrent layer: what is left is the largest positive cell."""
    config = hybrid_config(hidden=1, out=1) if name == "Hybrid" else cnn_config(hidden=1, out=1)
    encoder: Any = build_encoder(name, config, 16, 16).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
        for block in encoder.blocks:
            block.conv.weight[0, 0, 1, 1] = 1
            block.norm.weight.fill_(1)
        encoder.norm.weight.fill_(1)
        encoder.linear.weight.fill_(2)
        encoder.linear.bias.fill_(1)
    x = torch.full((2, 16, 16), -3.0)
    x[0, 5, 7], x[0, 9, 9] = 4.0, 2.5
    five_norms = (1 + 1e-5) ** -2.5
    torch.testing.assert_close(encoder(x), torch.tensor([[2 * 4 * five_norms + 1], [1.0]]))


def test_the_last_time_step_decides() -> None:
    """With a silent recurrent layer only the last quarter of the time reaches the output."""
    config = hybrid_config()
    encoder = build(config, 16, 64).eval()
    with torch.no_grad():
        for parameter in encoder.rnn.parameters():
            parameter.zero_()
    x = normal(1, 16, 64, seed=1)
    early, late = x.clone(), x.clone()
    early[..., :16] += 1
    late[..., 56:] += 1
    torch.testing.assert_close(encoder(early), encoder(x))
    assert not torch.allclose(encoder(late), encoder(x))


def test_the_unpooled_last_block_leaves_a_map_of_4_by_5() -> None:
    encoder = build_encoder("CNN", pooled(cnn_config(64, (3, 3), 64), "mean_max", False), 128, 157)
    assert encoder.map_size == (4, 5)
    assert encoder.feature_map(torch.zeros(1, 128, 157)).shape == (1, 64, 4, 5)


def test_hybrid_has_124544_parameters() -> None:
    encoder = build_encoder("Hybrid", hybrid_config(hidden=64, pool=(3, 3), out=64), 128, 157)
    assert sum(p.numel() for p in encoder.parameters()) == 124_544


@pytest.mark.parametrize("frames", [126, 157])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["CNN", "Hybrid"])
def test_float32_at_full_size(name: Literal["CNN", "Hybrid"], training: bool, frames: int) -> None:
    make = hybrid_config if name == "Hybrid" else cnn_config
    config = make(hidden=64, pool=(3, 3), out=64)
    with seeded_layers():
        encoder: Any = build_encoder(name, config, 128, frames).train(training)
    encoder.dropout.p = 0.0
    x = normal(4, 128, frames, seed=1, dtype=torch.float32)
    with torch.no_grad():
        expected = reference(encoder, config, x, training)
        actual = encoder(x)
    assert actual.shape == (4, 64)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_examples_stay_apart_in_eval_mode() -> None:
    encoder = build(hybrid_config("GRU"), 16, 48).eval()
    x = normal(4, 16, 48, seed=1)
    together = encoder(x)
    for i in range(4):
        torch.testing.assert_close(encoder(x[i : i + 1])[0], together[i])
