"""Adaptation to a task against naive loops; its gradients against those of plain MAML, first and second order."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from fewshot_audio.models.adaptation import MetaCurvature, TaskAdaptation, score_adapted, task_statistics
from fewshot_audio.models.encoders import CNN, Hybrid
from fewshot_audio.models.resnet import ResNet12
from tests.oracles.adaptation import naive_adapted, naive_curved, with_batch_statistics

MELS, FRAMES, WAY, SHOT, STEPS, RATE = 16, 32, 3, 2, 3, 0.3


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """In float64: a step over the kink of a ReLU would be another one in float32."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def encoder(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"widths": [4, 4, 6, 8], "stem_stride": 1} if kind is ResNet12 else {"hidden_channels": 4, "pool_dim": 2}
    return kind(MELS, FRAMES, out_dim=WAY, **sizes).eval()


def task(seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Support, its labels, queries."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(WAY, 1, MELS, FRAMES, generator=generator)
    support, queries = (patterns + torch.randn(WAY, n, MELS, FRAMES, generator=generator) for n in (SHOT, 4))
    return support.flatten(0, 1), torch.arange(WAY).repeat_interleave(SHOT), queries.flatten(0, 1)


@pytest.mark.parametrize("kind", [CNN, Hybrid, ResNet12])
def test_the_scores_of_an_adapted_encoder_are_those_of_a_naive_loop(kind: type[nn.Module]) -> None:
    network = encoder(kind)
    support, labels, queries = task()
    expected = naive_adapted(with_batch_statistics(encoder(kind)), support, labels, STEPS, RATE)(queries)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad(), task_statistics(network):
        actual = score_adapted(network, TaskAdaptation(STEPS, RATE)(network, support, labels), queries)
        unadapted = network(queries)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert (actual - unadapted).abs().max() > 0.1
    assert not any(module.training for module in network.modules())
    for name, value in network.state_dict().items():  # nothing is left of a task, running statistics included
        assert torch.equal(value, before[name]), name


def test_modes_inside_and_after() -> None:
    """Batch norms and recurrent layers are in training mode, without which cuDNN gives no gradients of the latter."""
    parts = {
        "norm": nn.BatchNorm1d(3),
        "untracked": nn.BatchNorm1d(3, track_running_stats=False),
        "plain": nn.GRU(3, 3),
        "with dropout": nn.GRU(3, 3, 2, dropout=0.5),
        "dropout": nn.Dropout(),
    }
    module = nn.ModuleDict(parts).eval()
    with task_statistics(module):
        assert {name for name, part in parts.items() if part.training} == {"norm", "untracked", "plain"}
    assert not any(part.training for part in module.modules())
    assert [parts[name].track_running_stats for name in ("norm", "untracked")] == [True, False]


def test_the_gradient_is_that_at_the_adapted_weights() -> None:
    network = encoder(Hybrid)
    support, labels, queries = task()
    truth = torch.arange(WAY).repeat_interleave(4)
    adapted = naive_adapted(with_batch_statistics(encoder(Hybrid)), support, labels, STEPS, RATE)
    adapted.zero_grad()
    F.cross_entropy(adapted(queries), truth).backward()
    with task_statistics(network):
        scores = score_adapted(network, TaskAdaptation(STEPS, RATE)(network, support, labels), queries)
    F.cross_entropy(scores, truth).backward()
    expected = {name: parameter.grad for name, parameter in adapted.named_parameters()}
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-6, atol=1e-9)


def test_what_first_order_leaves_out() -> None:
    """On a toy, d loss / d start is (I - rate H) times ours, with H the Hessian of the support's loss."""
    toy, adaptation = nn.Linear(2, WAY, bias=False), TaskAdaptation(1, RATE)
    support, queries = torch.randn(WAY, 2), torch.randn(WAY, 2)
    labels = torch.arange(WAY)
    F.cross_entropy(score_adapted(toy, adaptation(toy, support, labels), queries), labels).backward()
    first_order = toy.weight.grad

    def support_loss(weight: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(toy, {"weight": weight}, (support,)), labels)

    start = toy.weight.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(support_loss(start), start, create_graph=True)
    loss = F.cross_entropy(functional_call(toy, {"weight": start - RATE * gradient}, (queries,)), labels)
    (second_order,) = torch.autograd.grad(loss, start)
    hessian = torch.autograd.functional.hessian(support_loss, start.detach()).flatten(2).flatten(0, 1)
    assert first_order is not None
    expected = first_order.flatten() - RATE * hessian @ first_order.flatten()
    torch.testing.assert_close(second_order.flatten(), expected)
    assert (second_order - first_order).abs().max() > 1e-3


def test_curvature_is_none_at_first() -> None:
    network = encoder(Hybrid)
    curvature = MetaCurvature(network)
    for name, parameter in network.named_parameters():
        assert torch.equal(curvature(name, parameter.detach()), parameter.detach()), name


@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (3, 1, 2, 2), (3, 2), (3,)])
def test_curvature_is_its_definition(shape: tuple[int, ...]) -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(shape))
    curvature = MetaCurvature(module)
    for parameter in curvature.parameters():
        nn.init.normal_(parameter)
    matrices = curvature.matrices["weight"]
    axes = [dict(matrices.items()).get(str(axis)) for axis in range(3)]
    assert sum(axis is not None for axis in axes) == sum(
        size > 1 for size in (shape[0], *shape[1:2], torch.Size(shape[2:]).numel())
    )
    gradient = torch.randn(shape)
    three = gradient.reshape(shape[0], shape[1] if len(shape) > 1 else 1, -1)
    torch.testing.assert_close(curvature("weight", gradient), naive_curved(three, *axes).reshape(shape))


def test_a_step_goes_along_the_curved_gradient_and_trains_the_curvature() -> None:
    """Against plain second-order autograd of the matrices alone, the encoder's gradient being a constant."""
    network = encoder(CNN)
    curvature = MetaCurvature(network)
    torch.manual_seed(2)
    for parameter in curvature.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    support, labels, queries = task()
    truth = torch.arange(WAY).repeat_interleave(4)
    with task_statistics(network):
        weights = TaskAdaptation(1, RATE, curvature)(network, support, labels)
        loss = F.cross_entropy(score_adapted(network, weights, queries), truth)
    loss.backward()
    naive = with_batch_statistics(encoder(CNN))
    F.cross_entropy(naive(support), labels).backward()
    (name, conv) = ("blocks.1.conv.weight", dict(naive.named_parameters())["blocks.1.conv.weight"])
    matrices = curvature.matrices[name.replace(".", "/")]
    assert conv.grad is not None
    three = conv.grad.flatten(2)
    curved = torch.einsum("oik,po,qi,rk->pqr", three, *(matrices[axis] for axis in "012")).reshape(conv.shape)
    torch.testing.assert_close(weights[name], conv - RATE * curved)
    # d loss / d M_out[p, o] = -rate * sum of v[p] * (the gradient transformed along the other two axes)[o]
    rest = torch.einsum("oik,qi,rk->oqr", three, matrices["1"], matrices["2"])
    at_the_adapted = dict(network.named_parameters())[name].grad
    assert at_the_adapted is not None
    expected = -RATE * torch.einsum("pqr,oqr->po", at_the_adapted.flatten(2), rest)
    torch.testing.assert_close(matrices["0"].grad, expected)
