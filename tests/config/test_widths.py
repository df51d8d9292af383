"""Widths that follow from others: left out they are derived, given and wrong they are refused."""

from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config import check_configs, with_widths
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.models.build import build_network
from tests.tiny import FRAMES, MELS, tiny_configs

WIDTHS = ("Attention.embed_dim", "Projection.input_dim", "Relation.input_dim", "Relation.out_dim")
SETTINGS = [
    # scenario, out_dim, other keys, then the four widths
    (1, 8, {}, (8, 8, 16, 1)),
    (5, 8, {}, (8, 32, 64, 1)),
    (5, 128, {}, (128, 512, 1024, 1)),
    (4, 8, {"members": 3}, (24, 24, 48, 1)),
    (3, 8, {"input_type": "wav", "waveaug_params.use": True, "waveaug_params.aug_num": 2}, (8, 24, 48, 1)),
]


def values(model: Any) -> tuple[Any, ...]:
    return tuple(getattr(getattr(model, section), key) for section, key in (name.split(".") for name in WIDTHS))


@pytest.mark.parametrize(("scenario", "out_dim", "changes", "expected"), SETTINGS)
def test_widths_that_are_left_out_are_derived(
    scenario: int, out_dim: int, changes: dict[str, Any], expected: tuple[int, ...]
) -> None:
    experiment, model = tiny_configs({"Hybrid.out_dim": out_dim, **changes}, scenario=scenario)
    assert values(model) == (None, None, None, None)
    check_configs(experiment, model)
    complete = with_widths(experiment, model)
    assert values(complete) == expected
    check_configs(experiment, complete)
    network = build_network(experiment, model, MELS, FRAMES)
    assert network.width == expected[1]
    given = build_network(experiment, complete, MELS, FRAMES)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in given.state_dict().items()
    }


@pytest.mark.parametrize("key", WIDTHS[:3])
def test_a_width_that_is_given_and_wrong_is_refused_with_the_right_one(key: str) -> None:
    changes: dict[str, Any] = {"relation_head": True}
    experiment, model = tiny_configs(changes, scenario=5)
    section, name = key.split(".")
    right = getattr(getattr(with_widths(experiment, model), section), name)
    check_configs(*tiny_configs({**changes, key: right}, scenario=5))
    with pytest.raises(ConfigError) as error:
        check_configs(*tiny_configs({**changes, key: right + 1}, scenario=5))
    assert f"{key} is {right + 1}, expected " in str(error.value)
    assert str(right) in str(error.value).partition("expected")[2]
    assert str(error.value).endswith("or leave it out")


def test_what_is_given_stays_as_it_is() -> None:
    """A head that is not used may have any width."""
    experiment, model = tiny_configs({"Attention.embed_dim": 99, "Projection.input_dim": 77})
    check_configs(experiment, model)
    assert values(with_widths(experiment, model)) == (99, 77, 16, 1)


def test_an_experiment_resumes_whether_its_widths_are_given_or_not(tiny_dataset: Path, tmp_path: Path) -> None:
    experiment, model = tiny_configs({"num_epochs": 1})
    run_experiment(experiment, model, tiny_dataset, tmp_path)
    for pair in ((experiment, model), (experiment, with_widths(experiment, model))):
        run_experiment(*pair, tiny_dataset, tmp_path, resume=True)
    with pytest.raises(ConfigError, match=r"other settings: Projection.input_dim \(8 -> 9\)"):
        run_experiment(*tiny_configs({"num_epochs": 1, "Projection.input_dim": 9}), tiny_dataset, tmp_path, resume=True)
