"""Folded networks against the networks that they were made of."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from fewshot_audio.models.build import build_network, complete_model
from fewshot_audio.models.folding import FoldedConv, with_folded_norms
from fewshot_audio.models.network import FewShotNetwork
from tests.models.tiny_pretrained import write_pretrained
from tests.tiny import FRAMES, MELS, tiny_configs

CASES: dict[str, dict[str, Any]] = {
    "CNN": {"encoder_name": "CNN"},
    "CNN, pooled": {"encoder_name": "CNN", "CNN.pooling": "mean_max"},
    "Hybrid": {},
    "Hybrid, LSTM": {"Hybrid.seq_type": "LSTM", "Hybrid.bidirectional": True},
    "ResNet-8": {"encoder_name": "ResNet8"},
    "ResNet-12": {"encoder_name": "ResNet12"},
    "ResNet-12 with a stem": {"encoder_name": "ResNet12", "ResNet12.stem_stride": 2, "ResNet12.pool_last": False},
    "committee": {"members": 2},
}


def trained(changes: Mapping[str, Any], scenario: int = 1) -> FewShotNetwork:
    """A network whose batch norms have statistics, weights and biases that are not the initial ones."""
    experiment, model = tiny_configs(changes, scenario=scenario)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment, complete_model(experiment.encoder_name, model), MELS, FRAMES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.1 + 3 * torch.rand(module.num_features, generator=generator))
            module.weight.data.copy_(torch.randn(module.num_features, generator=generator))
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator))
    return network.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("segments", [1, 3])
def test_computes_what_the_network_does(case: str, segments: int) -> None:
    network = trained(CASES[case])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = with_folded_norms(network)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    views = torch.randn(segments, 1, MELS, FRAMES, generator=torch.Generator().manual_seed(2))
    expected = network.embed(views)
    assert expected.std() > 0
    torch.testing.assert_close(folded.embed(views), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_attention_and_all_that_is_not_folded_share_their_weights() -> None:
    network = trained({}, scenario=5)
    folded = with_folded_norms(network)
    assert network.attention is not None
    assert folded.attention is not None
    for name, value in network.attention.named_parameters():
        assert folded.attention.get_parameter(name) is value
    views = torch.randn(2, 4, MELS, FRAMES, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(folded.embed(views), network.embed(views), rtol=1e-5, atol=1e-5)


def test_a_pretrained_encoder_stays_as_it_is(tmp_path: Any) -> None:
    name = f"hf:{write_pretrained(tmp_path / 'clap', 'clap')}"
    network = trained({"encoder_name": name, "input_type": "wav"})
    assert with_folded_norms(network).encoder is network.encoder


@pytest.mark.parametrize(("channels", "stride"), [(1, 1), (1, 2), (3, 1)])
def test_a_small_image_is_convolved_as_a_large_one(channels: int, stride: int) -> None:
    conv = nn.Conv2d(channels, 5, 3, stride, padding=1).requires_grad_(requires_grad=False)
    image = torch.randn(1, channels, 20, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FoldedConv(conv)(image), conv(image), rtol=1e-5, atol=1e-6)
    exact = FoldedConv(conv.double())(image.double())  # for which there is no fast kernel
    assert torch.equal(exact, conv(image.double()))
