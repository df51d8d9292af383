"""The optimizer, its rates and the average of weights against plain recurrences."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fewshot_audio.engine.optimizer import WeightAverage, build_optimizer, learning_rate
from fewshot_audio.errors import ConfigError
from fewshot_audio.functional.losses import prototypical_loss
from tests.tiny import tiny_configs


def configs(**changes: Any) -> Any:
    return tiny_configs({f"optimization.{key}": value for key, value in changes.items()})[0]


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_cosine_is_torchs_after_a_linear_warm_up(warmup: int) -> None:
    experiment = configs(schedule="cosine", warmup_epochs=warmup).model_copy(update={"num_epochs": 12, "lr": 0.1})
    rates = [learning_rate(experiment, epoch) for epoch in range(12)]
    assert rates[:warmup] == pytest.approx([0.1 * (i + 1) / (warmup + 1) for i in range(warmup)])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12 - warmup)
    for rate in rates[warmup:]:
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        scheduler.step()


def test_milestones_count_from_the_start_after_a_warm_up_too() -> None:
    experiment = configs(warmup_epochs=2).model_copy(
        update={"num_epochs": 6, "lr": 1.0, "scheduler_milestones": [3], "scheduler_gamma": 0.1}
    )
    assert [learning_rate(experiment, epoch) for epoch in range(6)] == pytest.approx([1 / 3, 2 / 3, 1, 0.1, 0.1, 0.1])


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is nothing to train"):
        build_optimizer([], lr=0.1, weight_decay=0.0)


def test_adamw_by_hand() -> None:
    experiment = configs(weight_decay=0.1).model_copy(update={"lr": 0.01})
    weight, bias = nn.Parameter(torch.full((1, 1), 2.0)), nn.Parameter(torch.full((1,), 2.0))
    optimizer = build_optimizer([weight, bias], experiment.lr, experiment.optimization.weight_decay)
    expected, m, v = [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]
    for step, gradient in enumerate((0.5, -0.2, 0.7), start=1):
        weight.grad, bias.grad = torch.full((1, 1), gradient), torch.full((1,), gradient)
        optimizer.step()
        for i, decay in enumerate((0.1, 0.0)):
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient**2
            move = m[i] / (1 - 0.9**step) / (math.sqrt(v[i] / (1 - 0.999**step)) + 1e-8)
            expected[i] += -0.01 * decay * expected[i] - 0.01 * move
        assert [weight.item(), bias.item()] == pytest.approx(expected, rel=1e-5)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))


def set_to(module: Any, value: float) -> None:
    with torch.no_grad():
        module[0].weight.fill_(value)
        module[1].running_mean.fill_(-value)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.01, 0.99), st.integers(0, 30))
def test_the_average_of_weights(values: list[float], decay: float, interrupted: int) -> None:
    """Also when it is put away and taken up again after some step."""
    module = network()
    average = WeightAverage(module, decay)
    expected = values[0]
    for step, value in enumerate(values, start=1):
        set_to(module, value)
        average.update()
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
        if step == interrupted:
            state = average.state()
            average = WeightAverage(module, decay)
            average.restore(state)
    trained = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with average.applied():
        assert module.state_dict()["0.weight"].item() == pytest.approx(expected, abs=1e-4)
        assert module.state_dict()["1.running_mean"].item() == pytest.approx(-expected, abs=1e-4)
    assert all(torch.equal(trained[name], tensor) for name, tensor in module.state_dict().items())


def test_the_networks_own_weights_come_back_after_an_error() -> None:
    module = network()
    average = WeightAverage(module, 0.9)
    set_to(module, 1.0)
    average.update()
    set_to(module, 3.0)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert module.state_dict()["0.weight"] == 3


def test_label_smoothing_by_hand() -> None:
    scores = torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float64)
    logs = [s - math.log(sum(math.exp(t) for t in (2, 0, -1))) for s in (2, 0, -1)]
    target = [0.1, 0.8, 0.1]
    expected = -sum(p * log for p, log in zip(target, logs, strict=True))
    assert prototypical_loss(scores, torch.tensor([1]), 0.3).item() == pytest.approx(expected)
