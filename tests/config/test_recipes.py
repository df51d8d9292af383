"""Recipes fit every benchmark dataset and change what they say and nothing else."""

import pytest

from fewshot_audio.config import check_configs, check_input
from fewshot_audio.config.model import EncoderName
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.config.recipes import ENCODERS, RUNS, SHARED, Recipe, recipe_configs
from fewshot_audio.models.build import build_network


@pytest.mark.parametrize("encoder", ["CNN", "Hybrid", "ResNet12"])
@pytest.mark.parametrize("recipe", ["best", "fast"])
def test_a_recipe_fits_every_dataset_without_a_warning(recipe: Recipe, encoder: EncoderName) -> None:
    for dataset in ("ESC-50-master", "nsynth", "FSD2018", "BirdClef", "VoxCeleb", "my own"):
        experiment, model = recipe_configs(dataset, recipe, encoder)
        assert check_configs(experiment, model) == []
        for frames in (126, 157):
            check_input(experiment, model, 128, frames)
        assert (experiment.dataset_name, experiment.encoder_name) == (dataset, encoder)
        assert experiment.experiment_folder == f"{dataset}_{recipe}_{encoder}"


@pytest.mark.parametrize("encoder", ["CNN", "Hybrid", "ResNet12"])
@pytest.mark.parametrize("recipe", ["best", "fast"])
def test_a_recipe_is_scenario_1_and_its_keys(recipe: Recipe, encoder: EncoderName) -> None:
    base = scenario_configs("nsynth", 1, encoder=encoder)
    made = recipe_configs("nsynth", recipe, encoder)
    keys = SHARED | ENCODERS[encoder] | {"num_runs": RUNS[recipe][encoder]}
    before, after = ({**leaves(pair[0].model_dump()), **leaves(pair[1].model_dump())} for pair in (base, made))
    assert {key: value for key, value in after.items() if before[key] != value} == {
        **{key: value for key, value in keys.items() if before[key] != value},
        "experiment_folder": made[0].experiment_folder,
    }
    assert made[0].multi_segm == base[0].multi_segm


def test_best_has_at_most_a_million_parameters_joined() -> None:
    total = 0
    for encoder, runs in RUNS["best"].items():
        network = build_network(*recipe_configs("ESC-50-master", "best", encoder), 128, 157)
        total += runs * sum(weights.numel() for weights in network.parameters())
    assert 0.8e6 < total <= 1e6


def leaves(config: dict[str, object], prefix: str = "") -> dict[str, object]:
    actual: dict[str, object] = {}
    for key, value in config.items():
        actual |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return actual
