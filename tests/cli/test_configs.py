"""``fewshot-audio configs``: every ready pair is valid and says what the document's scenarios and tables say."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio.config import PHASES, check_configs, check_input, read_configs, with_widths
from fewshot_audio.config.recipes import recipe_configs
from tests.shell import Shell
from tests.tiny import tiny_configs

DATASETS = ["ESC-50-master", "nsynth", "FSD2018", "BirdClef", "VoxCeleb", "my sounds"]
LOSSES, ENCODERS = ["cpl", "angular"], ["CNN", "Hybrid"]

# dataset: mask_param, W, num_mask, p, lr, gamma, projection head, l_param, T, M, angle, prototypes as anchors
TABLE: dict[str, tuple[Any, ...]] = {
    "ESC-50-master": (7, 20, 2, 0.3127, 0.00038, 0.376, (128, 256), 1.7235, 6.0488, 3, 15, True),
    "FSD2018": (16, 22, 1, 0.282, 0.0007, 0.4482, (512, 256), 2.022308, 9.2361, 5, 30, False),
    "nsynth": (9, 36, 1, 0.42157, 0.0008, 0.48426, (64, 64), 8.566, 4.081, 3, 15, False),
    "BirdClef": (6, 29, 1, 0.298, 0.00149, 0.59974, (128, 256), 9.1625, 2.6981, 4, 15, False),
    "VoxCeleb": (6, 29, 1, 0.298, 0.00149, 0.59974, (128, 256), 9.1625, 2.6981, 4, 0, True),
}


def write(shell: Shell, folder: Path, dataset: str, scenario: int, *more: str) -> tuple[Any, Any]:
    outcome = shell("configs", "--dataset", dataset, "--scenario", scenario, "-o", folder, *more)
    assert outcome.code == 0
    files = folder / "experiment_config.json", folder / "model_config.json"
    assert all(str(file) in outcome.out for file in files)
    return read_configs(*files)


@pytest.mark.parametrize("scenario", range(1, 6))
def test_all_pairs_are_valid_and_differ(scenario: int, shell: Shell, tmp_path: Path) -> None:
    folders = set()
    for dataset, loss, encoder in itertools.product(DATASETS, LOSSES, ENCODERS):
        experiment, model = write(shell, tmp_path, dataset, scenario, "--loss", loss, "--encoder", encoder)
        assert check_configs(experiment, model) == []
        check_input(experiment, model, 128, 126 if dataset == "nsynth" else 157)
        assert (experiment.dataset_name, experiment.encoder_name) == (dataset, encoder)
        assert experiment.contrastive == (loss if scenario > 3 else None)
        assert experiment.n_views == (4 if scenario in (2, 3, 5) else 1)
        assert experiment.use_attention == (scenario in (3, 5))
        flags = [experiment.query_flag(phase) for phase in PHASES]
        assert flags == {2: [True, False, False], 3: [True] * 3, 5: [True] * 3}.get(scenario, [False] * 3)
        assert with_widths(experiment, model).Projection.input_dim == (256 if scenario in (3, 5) else 64)
        folders.add(experiment.experiment_folder)
    assert len(folders) == len(DATASETS) * len(ENCODERS) * (2 if scenario > 3 else 1)  # none overwrites another


@pytest.mark.parametrize("dataset", TABLE)
def test_the_published_hyperparameters(dataset: str, shell: Shell, tmp_path: Path) -> None:
    experiment, model = write(shell, tmp_path, dataset.upper(), 5)
    spec, loss = experiment.specaug_params, experiment.loss
    assert (
        *(spec.mask_param, spec.W, spec.num_mask, spec.p, experiment.lr, experiment.scheduler_gamma),
        (model.Projection.hidden_dim, model.Projection.output_dim),
        *(loss.l_param, loss.cpl.t_param, loss.cpl.m_param, loss.angular.angle, loss.angular.prototypes_as_anchors),
    ) == TABLE[dataset]
    assert experiment.multi_segm == (dataset in ("FSD2018", "BirdClef", "VoxCeleb"))
    assert (experiment.num_epochs, experiment.patience, experiment.scheduler_milestones) == (200, 70, [20, 40, 60])
    assert (experiment.n_training_tasks, experiment.n_testing_tasks, experiment.num_runs) == (100, 2000, 5)
    assert experiment.device == "auto"
    assert {experiment.way(p) for p in PHASES} == {experiment.shot(p) for p in PHASES} == {5}


def test_a_name_that_cannot_be_a_folder_is_refused(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("configs", "--dataset", "../outside", "--scenario", 1, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "without '..'" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_written_pair_trains(tiny_dataset: Path, shell: Shell, tmp_path: Path) -> None:
    """With what a tiny dataset needs set over it."""
    small = tiny_configs()[0].model_dump()
    write(shell, tmp_path / "files", "tiny", 3)
    keys = [key for key in small if key.startswith("n_")] + ["num_runs", "precision"]
    settings = [f"{key}={small[key]}" for key in keys]
    settings += ["num_epochs=1", "Hybrid.pool_dim=[2, 2]", "specaug_params.W=8", "device=cpu"]
    files = tmp_path / "files" / "experiment_config.json", tmp_path / "files" / "model_config.json"
    outcome = shell(
        *("train", "-e", files[0], "-m", files[1], "--data-root", tiny_dataset, "--output", tmp_path / "out"),
        *(part for setting in settings for part in ("--set", setting)),
    )
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out" / "tiny_scenario-3_Hybrid" / "results.json").is_file()


@pytest.mark.parametrize("scenario", [1, 5])
def test_the_width_of_the_encoder_is_changed_alone(
    scenario: int, tiny_dataset: Path, shell: Shell, tmp_path: Path
) -> None:
    """By ``--set Hybrid.out_dim=128`` alone. A written pair leaves out what follows from it; a run has the numbers."""
    write(shell, tmp_path, "tiny", scenario)
    written = json.loads((tmp_path / "model_config.json").read_text())
    derived = {"Attention": {"embed_dim"}, "Projection": {"input_dim"}, "Relation": {"input_dim", "out_dim"}}
    assert not any(derived[section] & written[section].keys() for section in derived)
    files = tmp_path / "tiny.json", tmp_path / "model.json"
    for file, config in zip(files, tiny_configs({"num_epochs": 1}, scenario=scenario), strict=True):
        file.write_text(json.dumps(config.model_dump(exclude_none=True)))
    line = ["train", "-e", files[0], "-m", files[1], "--data-root", tiny_dataset, "--output", tmp_path]
    outcome = shell(*line, "--set", "Hybrid.out_dim=128")
    assert outcome.code == 0, outcome.err
    run = tmp_path / "tiny" / "run-1"
    assert torch.load(run / "model.pt", weights_only=True)["encoder.linear.weight"].shape[0] == 128
    trained = json.loads((run / "model_config.json").read_text())
    width = 128 * (4 if scenario == 5 else 1)
    assert trained["Attention"]["embed_dim"] == 128
    assert trained["Projection"]["input_dim"] == width
    assert (trained["Relation"]["input_dim"], trained["Relation"]["out_dim"]) == (2 * width, 1)


def test_a_recipe_instead_of_a_scenario(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("configs", "--dataset", "nsynth", "--recipe", "fast", "--encoder", "CNN", "-o", tmp_path)
    assert outcome.code == 0, outcome.err
    pair = read_configs(tmp_path / "experiment_config.json", tmp_path / "model_config.json")
    assert pair == recipe_configs("nsynth", "fast", "CNN")


@pytest.mark.parametrize(
    "given", [[], ["--recipe", "best", "--scenario", "1"], ["--recipe", "fast", "--algorithm", "fo-maml"]]
)
def test_a_scenario_or_a_recipe_is_asked_for(given: list[str], shell: Shell, tmp_path: Path) -> None:
    outcome = shell("configs", "--dataset", "nsynth", "-o", tmp_path, *given)
    assert outcome.code == 2
    assert "give one of the three" in " ".join(outcome.err.replace("│", " ").split())


PUBLISHED_ALGORITHMS: dict[str, dict[str, Any]] = {
    "fo-maml": {"lr": 0.001, "episodes_per_step": 50, "num_epochs": 200, "inner": (8, 0.4)},
    "fo-meta-curvature": {"lr": 0.0005, "episodes_per_step": 20, "num_epochs": 300, "inner": (4, 1.0)},
    "meta-baseline": {"lr": 0.001, "episodes_per_step": 10, "num_epochs": 5000, "inner": (5, 0.1)},
    "simpleshot": {"lr": 0.0001, "episodes_per_step": 1, "num_epochs": 1000, "inner": (5, 0.1)},
}


@pytest.mark.parametrize("name", PUBLISHED_ALGORITHMS)
def test_the_algorithms_have_their_published_numbers(name: str, shell: Shell, tmp_path: Path) -> None:
    for dataset, encoder in itertools.product(("ESC-50-master", "FSD2018", "my sounds"), ENCODERS):
        options = ("--dataset", dataset, "--algorithm", name, "--encoder", encoder, "-o", tmp_path)
        assert shell("configs", *options).code == 0
        experiment, model = read_configs(tmp_path / "experiment_config.json", tmp_path / "model_config.json")
        assert check_configs(experiment, model) == []
        check_input(experiment, model, 128, 157)
        expected = PUBLISHED_ALGORITHMS[name]
        assert {key: getattr(experiment, key) for key in expected if key != "inner"} | {
            "inner": (experiment.algorithm.inner_steps, experiment.algorithm.inner_lr)
        } == expected
        assert experiment.algorithm.name == name
        assert experiment.n_training_tasks == 10 * experiment.episodes_per_step
        assert (experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test) == (5, 1, 1)
        assert experiment.n_testing_tasks == 10_000
        assert experiment.multi_segm == (dataset == "FSD2018")
