"""The classes that choices may be based on: training and validation classes of the published split, never its test
classes.

What is opened here has no test classes: they are in no split and in no index, so that no episode and no embedding of
them can be made.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.config import ExperimentConfig, ModelConfig, Phase, check_configs
from fewshot_audio.data.selection import select_classes
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset, check_episodes, open_dataset
from fewshot_audio.models.huggingface import with_definition
from fewshot_audio.progress import Progress, silent


def open_development(root: Path, experiment: ExperimentConfig, progress: Progress = silent) -> Dataset:
    """Open the experiment's dataset without its test classes: ``splits.test`` is empty and the store lacks them.

    Raises DataError or ConfigError as ``open_dataset`` does; what a training asks for is left to ``check_training``.
    """
    dataset = open_dataset(root, experiment, progress, phases=())
    published = dataset.data.splits
    splits = Splits(published.train, published.validation, ())
    store = select_classes(dataset.data.store, splits.classes)
    return dataclasses.replace(dataset, data=TrainingData(store, splits, dataset.data.views))


def check_training(
    dataset: Dataset, experiment: ExperimentConfig, model: ModelConfig, phases: Sequence[Phase]
) -> ModelConfig:
    """Check that a pair of configs can be trained on the dataset, and what the episodes of ``phases`` ask for.

    Returns the model complete: with the definition of a pretrained encoder (``with_definition``), which training needs.
    Raises ConfigError or DataError naming the key or the class.
    """
    check_configs(experiment, model)
    model = with_definition(experiment, model)
    dataset.check_input(experiment, model)
    check_episodes(experiment, dataset.data.store.index, dataset.data.splits, phases)
    return model


def make_folds(classes: Sequence[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    """Deal classes at random into equal parts (sizes differ by one at most), each in alphabetical order.

    Depends on the set of classes, the number of folds and the seed only. Raises ConfigError for too few classes.
    """
    if not 2 <= folds <= len(classes):
        raise ConfigError(f"{folds} folds of {len(classes)} classes: expected 2 to {len(classes)} folds")
    names = sorted(classes)
    order = np.random.default_rng(seed).permutation(len(names))
    return [tuple(names[i] for i in sorted(part)) for part in np.array_split(order, folds)]


def hold_out(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """A fold of a dataset opened here: ``classes`` are tested on, all others trained on, and none validates."""
    held_out = set(classes)
    train = tuple(name for name in dataset.data.splits.classes if name not in held_out)
    splits = Splits(train, (), tuple(classes))
    return dataclasses.replace(dataset, data=dataclasses.replace(dataset.data, splits=splits))
