"""The development classes, which studies may choose by: the published split's training and validation classes.

The test classes of the published split are in no split and in no index of the datasets that are opened here, so that
no episode of them can be drawn, and no embedding of them compared (a frozen encoder embeds all clips of a folder).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, Phase, check_configs
from fewshot_audio.data.selection import select_classes
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine.contrastive_losses import build_contrastive_loss
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.errors import ConfigError, plural
from fewshot_audio.experiments.dataset import Dataset, check_episodes, open_dataset
from fewshot_audio.experiments.frozen_encoders import complete_with_encoders
from fewshot_audio.progress import Progress, silent


def open_development(root: Path, experiment: ExperimentConfig, progress: Progress = silent) -> Dataset:
    """Open the experiment's dataset without its test classes: ``splits.test`` is empty and the store lacks them.

    Whether the experiment can be trained on it is left to ``check_training``. Raises what ``open_dataset`` raises.
    """
    dataset = open_dataset(root, experiment, progress, phases=())
    splits = dataclasses.replace(dataset.data.splits, test=())
    store = select_classes(dataset.data.store, splits.classes)
    return dataclasses.replace(dataset, data=TrainingData(store, splits, dataset.data.views))


def check_training(
    dataset: Dataset, experiment: ExperimentConfig, model: ModelConfig, phases: Sequence[Phase]
) -> ModelConfig:
    """Check that a pair of configs can be trained on the dataset.

    Args:
        dataset: what ``open_development`` or ``hold_out`` returned.
        experiment: the experiment config.
        model: the model config.
        phases: the phases whose episodes the dataset must have enough classes and clips for.

    Returns:
        The complete model config, which training needs: with the definition of a pretrained encoder.

    Raises:
        ConfigError: names the key.
        DataError: names the class.
    """
    check_configs(experiment, model)
    build_contrastive_loss(experiment)  # raises if it cannot be
    model = complete_with_encoders(experiment, model)
    dataset.check_input(experiment, model)
    check_episodes(experiment, dataset.data.store.index, dataset.data.splits, phases)
    return model


def make_folds(classes: Sequence[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    """Deal classes at random into folds whose sizes differ by one at most, each in alphabetical order.

    The folds depend on the set of classes, the number of folds and the seed only. Raises ConfigError for fewer classes
    than folds.
    """
    if not 2 <= folds <= len(classes):
        raise ConfigError(f"{folds} folds of {plural(len(classes), 'class')}: expected 2 to {len(classes)} folds")
    names = sorted(classes)
    order = np.random.default_rng(seed).permutation(len(names))
    return [tuple(names[i] for i in sorted(part)) for part in np.array_split(order, folds)]


def hold_out(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The development dataset with new splits: ``classes`` for testing, all others for training, none to validate."""
    held_out = set(classes)
    train = tuple(name for name in dataset.data.splits.classes if name not in held_out)
    splits = Splits(train, (), tuple(classes))
    return dataclasses.replace(dataset, data=dataclasses.replace(dataset.data, splits=splits))
