"""State dicts of networks: names of earlier versions are read, and nothing else is let pass."""

import pytest
import torch
from torch import nn

from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork
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
