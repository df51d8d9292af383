"""Recipes: training settings that change scenario 1, for any dataset, as keys of either config file and their values.

``fast`` is one run; ``best`` is eight runs of it, to be joined into one network (``fewshot-audio join``).
They were chosen by class-wise cross-validation inside ESC-50's training and validation classes (``fewshot-audio
crossval``; docs/results.md) on one or two of five folds with one seed, and compared with scenario 1 on all five.
Augmented inputs, wider episodes, the classification head and the learning rate matter most; 40 epochs were worse than
20 on the fold where they were tried.
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
    "embedding_transform": "center_l2",
    "num_epochs": 15,
}

ENCODERS: dict[EncoderName, Changes] = {
    "CNN": {"CNN.pooling": "mean_max", "CNN.pool_last": False},
    "Hybrid": {},  # the documented network: the same parameters, the same cost of an answer
    "ResNet12": {"ResNet12.pooling": "mean_max"},
}

RECIPES: dict[Recipe, Changes] = {"best": {"num_runs": 8}, "fast": {"num_runs": 1}}


def recipe_configs(
    dataset: str, recipe: Recipe, encoder: EncoderName = "Hybrid"
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair of configs of a recipe for a dataset and an encoder."""
    base = scenario_configs(dataset, 1, encoder=encoder)
    folder = {"experiment_folder": f"{dataset}_{recipe}_{encoder}"}
    changes = {**SHARED, **ENCODERS[encoder], **RECIPES[recipe], **folder}
    return change_configs(*base, changes, f"recipe {recipe!r}")
