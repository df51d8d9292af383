"""The space of a search: what files may say, what is searched by default, and what is refused."""

import json
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest

from fewshot_audio.config import check_configs, check_input
from fewshot_audio.config.load import change_configs
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.errors import ConfigError
from fewshot_audio.studies.holdout import open_development
from fewshot_audio.studies.tune.space import Space, check_space, default_space, read_space
from tests.parts import Hinge
from tests.tiny import tiny_configs


def space_of(tmp_path: Path, entries: Any) -> Space:
    file = tmp_path / "space.json"
    file.write_text(json.dumps(entries))
    return read_space(file)


ENTRIES = {
    "lr": {"float": [0.001, 0.1], "log": True},
    "loss.cpl.m_param": {"int": [1, 2]},
    "distance": {"choice": ["euclidean", "squared"]},
    "Hybrid.out_dim": {"choice": [8]},
}


def test_values_lie_in_the_space_and_have_its_types(tmp_path: Path) -> None:
    space = space_of(tmp_path, ENTRIES)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask()) for _ in range(50)]
    assert all(0.001 <= values["lr"] <= 0.1 for values in drawn)
    assert sum(values["lr"] < 0.01 for values in drawn) == pytest.approx(25, abs=9)  # even in the logarithm
    assert {values["loss.cpl.m_param"] for values in drawn} == {1, 2}
    assert {values["distance"] for values in drawn} == {"euclidean", "squared"}
    assert {values["Hybrid.out_dim"] for values in drawn} == {8}
    assert space.as_json()["lr"] == {"float": [0.001, 0.1], "log": True}


def test_a_search_starts_from_the_base_where_it_lies_in_the_space(tmp_path: Path) -> None:
    entries = {**ENTRIES, "loss.angular.angle": {"choice": [0, 15]}, "scheduler_gamma": {"float": [0.9, 0.95]}}
    entries["Projection.hidden_dim"] = {"int": [9, 16]}
    entries["relation_head"] = {"choice": [0, 1]}  # no booleans
    base = tiny_configs({"lr": 0.02, "loss.angular.angle": 15.0})
    assert space_of(tmp_path, entries).values_of(*base) == {
        "lr": 0.02,
        "loss.cpl.m_param": 2,
        "distance": "euclidean",
        "Hybrid.out_dim": 8,
        "loss.angular.angle": 15,
    }


def test_a_loss_that_cannot_judge_episodes_is_refused_before_the_search(tiny_dataset: Path, tmp_path: Path) -> None:
    base = tiny_configs({"loss.cpl.use": False, "loss.metric.use": True}, scenario=4)
    dataset = open_development(tiny_dataset, base[0])
    choices = [["SupConLoss", "NTXentLoss"], ["SupConLoss", "ProxyAnchorLoss"]]
    usable, unusable = (space_of(tmp_path, {"loss.metric.loss": {"choice": names}}) for names in choices)
    check_space(usable, *base, dataset, "space.json")
    with pytest.raises(ConfigError, match=r"'loss\.metric\.loss' = 'ProxyAnchorLoss': .*learns vectors"):
        check_space(unusable, *base, dataset, "space.json")


def test_keys_of_parts_from_outside_are_searched(tmp_path: Path) -> None:
    key = "loss.tests.parts:Hinge.margin"
    base = change_configs(*tiny_configs({"loss.cpl.use": False}, scenario=4), {key: 0.4}, "base")
    space = space_of(tmp_path, {key: {"float": [0.1, 0.9]}, "loss.tests.parts:Hinge.use": {"choice": [True]}})
    assert space.values_of(*base) == {key: 0.4}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    experiment, _ = change_configs(*base, space.suggest(study.ask()), "trial")
    assert getattr(experiment.loss, f"{Hinge.__module__}:Hinge").use


@pytest.mark.parametrize("spelling", ["center_l2", "centre_l2"])
def test_a_former_spelling_in_a_space_is_the_bases_value(tmp_path: Path, spelling: str) -> None:
    space = space_of(tmp_path, {"embedding_transform": {"choice": ["none", spelling]}})
    assert space.values_of(*tiny_configs({"embedding_transform": "center_l2"})) == {"embedding_transform": spelling}
    assert space.as_json() == {"embedding_transform": {"choice": ["none", spelling]}}


PLAIN = {"lr", "scheduler_gamma"}
MASKS = {"specaug_params.mask_param", "specaug_params.W", "specaug_params.num_mask", "specaug_params.p"}
HEAD = {"loss.l_param", "Projection.hidden_dim", "Projection.output_dim"}
CPL = {"loss.cpl.m_param", "loss.cpl.t_param"}
ANGULAR = {"loss.angular.angle", "loss.angular.prototypes_as_anchors"}


@pytest.mark.parametrize(
    ("scenario", "loss", "keys"),
    [
        (1, "cpl", PLAIN),
        (2, "cpl", PLAIN | MASKS),
        (3, "cpl", PLAIN | MASKS),
        (4, "cpl", PLAIN | HEAD | CPL),
        (4, "angular", PLAIN | HEAD | ANGULAR),
        (5, "cpl", PLAIN | MASKS | HEAD | CPL),
        (5, "angular", PLAIN | MASKS | HEAD | ANGULAR),
    ],
)
def test_the_default_space_is_what_the_tables_name_and_fits_every_dataset(
    scenario: int, loss: Literal["cpl", "angular"], keys: set[str]
) -> None:
    for dataset in ("ESC-50-master", "nsynth", "FSD2018", "BirdClef", "VoxCeleb"):
        experiment, model = scenario_configs(dataset, scenario, loss)
        space = default_space(experiment)
        assert set(space.dimensions) == keys
        for key, dimension in space.dimensions.items():
            for value in dimension.ends():
                changed = change_configs(experiment, model, {key: value}, key)
                check_configs(*changed)
                check_input(*changed, 128, 126)
        assert set(space.values_of(experiment, model)) >= keys - {"lr", "scheduler_gamma", "loss.t_param"}, dataset


def test_a_head_that_must_match_the_prototypes_is_not_searched() -> None:
    experiment, _ = tiny_configs({"project_prototypes": False}, scenario=4)
    assert "Projection.output_dim" not in default_space(experiment).dimensions


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "expected a JSON object"),
        ({}, "an empty space"),
        ({"lr": [1, 2]}, "'lr': expected .*float.*, found \\[1, 2\\]"),
        ({"lr": {"float": [1, 2], "int": [1, 2]}}, "'lr': expected"),
        ({"lr": {"float": [0.2, 0.1]}}, "'lr': .*first number must be smaller"),
        ({"lr": {"float": [0.0, 0.1], "log": True}}, "'lr': .*logarithmic range starts above 0"),
        ({"lr": {"float": [0.1]}}, "'lr': key 'float'"),
        ({"lr": {"float": [0.1, 0.2], "step": 3}}, "'lr': unknown key 'step'"),
        ({"seq": {"int": [1.5, 3]}}, "'seq': key 'int.0'"),
        ({"lr": {"choice": []}}, "'lr': key 'choice'"),
    ],
    ids=["list", "empty", "no kind", "two kinds", "falling", "log of 0", "one end", "unknown", "no int", "no choice"],
)
def test_a_bad_space_file_is_refused(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        space_of(tmp_path, entries)
    assert str(tmp_path / "space.json") in str(error.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"lrr": {"float": [0.1, 0.2]}}, "unknown key 'lrr' \\(nearest known key: 'lr'\\)"),
        ({"lr": {"float": [-1.0, 0.2]}}, "'lr'.*greater than 0"),
        ({"n_query_validation": {"int": [1, 5]}}, "'n_query_validation' cannot be searched"),
        ({"Hybrid.pool_dim": {"choice": ["x"]}}, "'Hybrid.pool_dim'.*valid list"),
        ({"specaug_params.W": {"int": [2, 16]}}, "'specaug_params.W' = 16: specaug_params.W is 16"),
        ({"Attention.embed_dim": {"int": [8, 16]}}, "'Attention.embed_dim' = 16: Attention.embed_dim is 16, expected"),
    ],
    ids=["unknown", "range", "fixed", "type", "input", "widths"],
)
def test_a_space_that_does_not_fit_the_configs_is_refused(
    tiny_dataset: Path, tmp_path: Path, entries: Any, message: str
) -> None:
    experiment, model = tiny_configs(scenario=3)
    dataset = open_development(tiny_dataset, experiment)
    with pytest.raises(ConfigError, match=message):
        check_space(space_of(tmp_path, entries), experiment, model, dataset, "space.json")
