"""State dicts of networks: names of earlier versions are read, and nothing else is let pass."""

import pytest
import torch
from torch import nn

from fewshot_audio.models.build import build_network
from fewshot_audio.models.encoders import CNN
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.network import FewShotNetwork
from tests.numerics import normal, seeded_layers
from tests.tiny import tiny_configs


@pytest.fixture
def network() -> FewShotNetwork:
    experiment, model = tiny_configs({"embedding_transform": "center_l2"})
    return build_network(experiment, model, 16, 20)


def test_the_former_name_of_the_center_is_read_also_inside_another_module(network: FewShotNetwork) -> None:
    state = network.state_dict()
    center = torch.full_like(state["center"], 3.0)
    former = {**{name: value for name, value in state.items() if name != "center"}, "centre": center}
    network.load_state_dict(former)
    assert network.center is not None
    assert torch.equal(network.center, center)
    assert "centre" in former  # the caller's is not changed
    nn.ModuleDict({"inner": network}).load_state_dict({f"inner.{name}": value for name, value in former.items()})


@pytest.mark.parametrize("order", [1, -1])
def test_both_names_of_the_center_are_refused(network: FewShotNetwork, order: int) -> None:
    both = {**network.state_dict(), "centre": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r"Unexpected key.*centre"):
        network.load_state_dict(dict(list(both.items())[::order]))


def test_every_tensor_is_needed(network: FewShotNetwork) -> None:
    for name in list(network.state_dict()):
        rest = network.state_dict()
        del rest[name]
        with pytest.raises(RuntimeError, match="Missing key"):
            network.load_state_dict(rest)


def test_the_width_is_that_of_the_encoder() -> None:
    with seeded_layers():
        encoder = CNN(16, 20, pool_dim=2, hidden_channels=4, out_dim=6)
        assert FewShotNetwork(encoder).width == 6
        network = FewShotNetwork(encoder, embedding_transform="center_l2")
        assert network.center is not None
        assert network.center.shape == (6,)
        assert FewShotNetwork(encoder, 24, attention=ViewAttention(6, num_heads=2)).width == 24


def test_a_width_that_does_not_follow_is_asked_for() -> None:
    with seeded_layers():
        encoder = CNN(16, 20, pool_dim=2, hidden_channels=4, out_dim=6)
        with pytest.raises(ValueError, match="with attention it is out_dim times the number of views"):
            FewShotNetwork(encoder, attention=ViewAttention(6, num_heads=2))
    with pytest.raises(ValueError, match="the encoder Identity has no attribute out_dim"):
        FewShotNetwork(nn.Identity())


@pytest.mark.parametrize("attention", [False, True])
def test_called_on_features_it_embeds_one_view(attention: bool) -> None:
    with seeded_layers():
        encoder = CNN(16, 20, pool_dim=2, hidden_channels=4, out_dim=6)
        fusion = ViewAttention(6, num_heads=2) if attention else None
        network = FewShotNetwork(encoder, 6, attention=fusion, embedding_transform="center_l2")
    network.set_normalization(-30.0, 20.0)
    assert network.center is not None
    network.center.fill_(0.5)
    features = 20 * normal(5, 16, 20, seed=0, dtype=torch.float32) - 30
    network.eval()
    rows = network(features)
    assert torch.equal(rows, network.embed(network.normalize(features).unsqueeze(1)).squeeze(1))
    assert rows.norm(dim=-1).tolist() == pytest.approx([1.0] * 5)
    network.train()
    with seeded_layers():  # of dropout
        trained = network(features)  # embeddings are transformed in testing only
    with seeded_layers():
        expected = network.encode((features + 30) / 20).unsqueeze(1)
        assert torch.equal(trained, network.fuse(expected).squeeze(1))


def test_a_spectrogram_whose_embedding_has_another_width_is_refused() -> None:
    with seeded_layers():
        encoder = CNN(16, 20, pool_dim=2, hidden_channels=4, out_dim=6)
        networks = [FewShotNetwork(encoder, 24, attention=ViewAttention(6, num_heads=2)), FewShotNetwork(encoder, 5)]
    for network in networks:
        with pytest.raises(ValueError, match=f"an embedding of 6 numbers, but the network's width is {network.width}"):
            network(torch.zeros(2, 16, 20))
