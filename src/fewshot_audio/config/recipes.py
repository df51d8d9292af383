"""Recipes: training settings that change scenario 1, for any dataset, as keys of either config file and their values.

``fast`` is one run. ``best`` is a few runs of each encoder, to be joined into one network of at most a million
parameters (``fewshot-audio join``): encoders of different kinds err on different sounds, so that joining them gains
about twice what joining as many of one kind does. They were chosen by class-wise cross-validation inside ESC-50's
training and validation classes (docs/results.md).
"""

from typing import Any, Literal, TypeAlias

from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.config.model import EncoderName, ModelConfig
from fewshot_audio.config.presets import scenario_configs

Recipe: TypeAlias = Literal["best", "fast"]
Changes: TypeAlias = dict[str, Any]

SHARED: Changes = {
    "lr": 0.006,
    "optimization.schedule": "cosine",
    "optimization.warmup_epochs": 1,
    "optimization.keep": "last",
    "n_training_tasks": 50,
    "input_augmentation.shift": 0.5,
    "input_augmentation.time_masks": 2,
    "input_augmentation.time_mask_width": [1, 32],
    "input_augmentation.frequency_masks": 2,
    "input_augmentation.frequency_mask_width": [1, 24],
    "input_augmentation.gain_db": 6,
    "input_augmentation.filter_db": 6,
    "n_way_train": 12,
    "loss.label_smoothing": 0.1,
    "loss.classification_weight": 1.0,
    "embedding_transform": "wccn",
    "num_epochs": 15,
}

ENCODERS: dict[EncoderName, Changes] = {
    "CNN": {"CNN.pooling": "mean_max", "CNN.pool_last": False},
    "Hybrid": {},  # the documented network: the same parameters, the same cost of an answer
    "ResNet12": {
        "ResNet12.widths": [16, 32, 64, 128],
        "ResNet12.pooling": "mean_max",
        "ResNet12.drop_block": 0.1,
        "ResNet12.dropout": 0.3,
        "lr": 0.003,
        "optimization.weight_decay": 0.05,
        "input_augmentation.time_scale": [0.75, 1.33],
        "num_epochs": 30,
    },
}

RUNS: dict[Recipe, dict[EncoderName, int]] = {
    "best": {"CNN": 1, "Hybrid": 2, "ResNet12": 1},
    "fast": {"CNN": 1, "Hybrid": 1, "ResNet12": 1},
}


def recipe_configs(
    dataset: str, recipe: Recipe, encoder: EncoderName = "Hybrid"
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair of configs of a recipe for a dataset and an encoder; ``best`` has one for each encoder."""
    base = scenario_configs(dataset, 1, encoder=encoder)
    run = {"num_runs": RUNS[recipe][encoder], "experiment_folder": f"{dataset}_{recipe}_{encoder}"}
    changes = {**SHARED, **ENCODERS[encoder], **run}
    return change_configs(*base, changes, f"recipe {recipe!r}")
