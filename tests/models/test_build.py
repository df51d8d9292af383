"""Encoders by keyword arguments and from the model file: one call builds the package's own and those from outside."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.config.model import ENCODERS, CNNConfig, EncoderConfig, HybridConfig, ModelConfig, ResNet12Config
from fewshot_audio.config.registry import Part
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.build import build_encoder, build_network, complete_model
from fewshot_audio.models.encoders import CNN, Hybrid
from fewshot_audio.models.resnet import ResNet12
from tests.numerics import seeded_layers
from tests.parts import Bands
from tests.tiny import FRAMES, MELS, tiny_configs

OPTIONS: list[tuple[type[nn.Module], type[EncoderConfig], dict[str, Any]]] = [
    (CNN, CNNConfig, {}),
    (
        CNN,
        CNNConfig,
        {"hidden_channels": 6, "pool_dim": [2, 3], "out_dim": 5, "pooling": "mean_max", "pool_last": False},
    ),
    (Hybrid, HybridConfig, {}),
    (Hybrid, HybridConfig, {"seq_type": "LSTM", "seq_layers": 2, "bidirectional": True, "out_dim": 7}),
    (ResNet12, ResNet12Config, {}),
    (ResNet12, ResNet12Config, {"widths": [4, 4, 6, 8], "stem_stride": 1, "dropout": 0.2, "out_dim": 9}),
]


def seeded(work: Any) -> dict[str, torch.Tensor]:
    with seeded_layers(3):
        state: dict[str, torch.Tensor] = work().state_dict()
    return state


@pytest.mark.parametrize(("kind", "section", "options"), OPTIONS)
def test_keywords_build_what_the_section_builds(
    kind: type[nn.Module], section: type[EncoderConfig], options: dict[str, Any]
) -> None:
    config = section(**options)
    by_keyword = seeded(lambda: kind(n_mels=128, n_frames=157, **options))
    by_section = seeded(lambda: build_encoder(kind.__name__, config, 128, 157))
    assert by_keyword.keys() == by_section.keys()
    assert all(torch.equal(by_keyword[name], by_section[name]) for name in by_keyword)
    encoder: Any = kind(128, 157, **options).eval()
    assert encoder(torch.zeros(2, 128, 157)).shape == (2, config.out_dim)
    assert encoder.out_dim == config.out_dim


def test_the_defaults_are_the_published_network() -> None:
    """The sizes that the authors' experiment files give (tests/fixtures), and the paper's number of parameters."""
    assert sum(value.numel() for value in Hybrid(128, 157).parameters()) == 124_544
    assert CNNConfig() == CNNConfig(hidden_channels=64, pool_dim=[3, 3], out_dim=64, pooling="last", pool_last=True)
    assert HybridConfig().model_dump() == CNNConfig().model_dump() | {
        "seq_layers": 1,
        "seq_type": "RNN",
        "bidirectional": False,
    }


def test_tuples_are_lists() -> None:
    assert CNN(32, 32, pool_dim=(2, 1)).map_size == (2, 32)
    with pytest.raises(ConfigError, match="ResNet12: key 'widths'"):
        ResNet12(32, 32, widths=(8, 8))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (CNN, {"outdim": 3}, "CNN: unknown key 'outdim' (nearest known key: 'out_dim')"),
        (CNN, {"seq_type": "GRU"}, "CNN: unknown key 'seq_type'"),
        (Hybrid, {"seq_type": "gru"}, "Hybrid: key 'seq_type': Input should be 'RNN', 'GRU' or 'LSTM' (found 'gru')"),
        (Hybrid, {"hidden_channels": 0, "out_dim": "wide"}, "Hybrid: key 'out_dim': Input should be a valid integer"),
        (ResNet12, {"pooling": "last"}, "ResNet12: key 'pooling'"),
        (CNN, {"pooling": "attention"}, "version 0.1 of fewshot-audio was the last to have it"),
    ],
)
def test_wrong_options_are_refused(kind: type[nn.Module], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        kind(32, 32, **options)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == len(options)


@pytest.mark.parametrize("kind", [CNN, Hybrid, ResNet12])
def test_segments_that_the_poolings_leave_nothing_of_are_refused(kind: type[nn.Module]) -> None:
    least = {"CNN": 81, "Hybrid": 81, "ResNet12": 31}[kind.__name__]
    kind(least, least)
    for size in ((least - 1, least), (least, least - 1)):
        with pytest.raises(
            ConfigError, match=f"{kind.__name__}: its poolings leave .* of {size[0]} mel bins x {size[1]}"
        ):
            kind(*size)


@pytest.mark.parametrize("kind", [CNN, Hybrid, ResNet12])
@pytest.mark.parametrize("size", [(2, 82, 81), (2, 81, 82), (2, 1, 81, 81), (81, 81)])
def test_spectrograms_of_another_size_are_refused(kind: type[nn.Module], size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__} got .*, expected spectrograms \(n, 81, 81\)"):
        kind(81, 81)(torch.zeros(size))


# -- from outside ------------------------------------------------------------------------------------------------------

NAME = "tests.parts:Bands"


def pair(changes: dict[str, Any] | None = None, **section: Any) -> tuple[Any, ModelConfig]:
    experiment, model = tiny_configs({"encoder_name": NAME, **(changes or {})})
    return experiment, ModelConfig.model_validate(model.model_dump() | {"Bands": section})


def test_a_plain_module_is_an_encoder_whose_width_is_that_of_its_section() -> None:
    network = build_network(*pair(hidden=5, out_dim=3), MELS, FRAMES)
    assert isinstance(network.encoder, Bands)
    assert network.width == 3
    assert network.encode(torch.zeros(4, MELS, FRAMES)).shape == (4, 3)
    network.set_precision("bf16")  # of the package's own encoders
    assert network.encode(torch.zeros(4, MELS, FRAMES)).dtype == torch.float32


def test_members_from_outside_stand_side_by_side() -> None:
    network = build_network(*pair({"members": 2}, hidden=5, out_dim=3), MELS, FRAMES)
    x = torch.randn(4, MELS, FRAMES)
    first, second = network.encoder.members  # type: ignore[misc]
    torch.testing.assert_close(network.encode(x), torch.cat([first(x), second(x)], -1) / 2**0.5)


class Constant(nn.Module):
    """Returns what it was made to return, in evaluation mode and without gradients."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
        self.drop = nn.Dropout().eval()
        self.bias = nn.Parameter(torch.rand(1))

    def forward(self, x: Tensor) -> Any:
        torch.rand(1)
        return x.mean(-1) @ self.value if isinstance(self.value, Tensor) else self.value


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Constant(torch.ones(MELS, 4)), rf"a tensor \(2, {MELS}, {FRAMES}\), to \(2, 4\), .* here \(2, 8\)"),
        (Constant("text"), "to str, expected"),
        (Constant(torch.ones(3, 8)), rf"embedding two segments, .* \(2, {MELS}, {FRAMES}\), failed: RuntimeError"),
        (object(), r"is no torch\.nn\.Module: found object"),
    ],
)
def test_an_encoder_that_does_not_embed_is_refused(made: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "make", lambda *_, **__: made)
    with pytest.raises(ConfigError, match=message):
        build_network(*pair(hidden=5), MELS, FRAMES)


def test_trying_an_encoder_out_leaves_everything_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Constant(torch.ones(MELS, 8))
    monkeypatch.setattr(Part, "make", lambda *_, **__: made)
    state = torch.get_rng_state()
    build_encoder(NAME, pair(hidden=5)[1].encoder(NAME), MELS, FRAMES)
    assert torch.equal(torch.get_rng_state(), state)
    assert (made.training, made.drop.training) == (True, False)


def test_it_may_be_called_by_its_registered_name() -> None:
    experiment, model = pair(hidden=5)
    network = build_network(experiment.model_copy(update={"encoder_name": "Bands"}), model, MELS, FRAMES)
    assert isinstance(network.encoder, Bands)


def test_a_complete_model_has_the_options_of_an_encoder_that_the_file_says_nothing_about() -> None:
    _, model = tiny_configs()
    complete = complete_model("tests.parts:Means", model)
    assert complete.model_dump() == model.model_dump() | {"Means": {"out_dim": 8, "hidden": 6, "bias": True}}
    assert complete_model("Means", complete) is complete
    assert complete_model("CNN", model) is model
    with pytest.raises(ConfigError, match="no section 'Bands'"):
        complete_model(NAME, model)


def test_an_encoder_needs_a_section_with_its_width(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="encoder 'Path' of pathlib:Path: its section needs 'out_dim', found no section"
    ):
        ENCODERS.register()(Path)
