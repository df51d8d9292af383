"""Experiments on frozen encoders: the encoders are looked up, and a dataset is opened as their embeddings."""

import dataclasses
import logging

import numpy as np
import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.frozen import RUN, frozen_references
from fewshot_audio.data.selection import select_classes
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.run_encoder import run_as_encoder
from fewshot_audio.models.build import complete_model
from fewshot_audio.models.embedded_views import PooledViews, PoolEncoder, make_views_of_recordings
from fewshot_audio.models.frozen.references import find_encoder, read_descriptions
from fewshot_audio.models.frozen_layers import FrozenLayers, weighted_moments
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import WaveViews
from fewshot_audio.progress import Progress, silent

log = logging.getLogger(__name__)


def complete_with_encoders(experiment: ExperimentConfig, model: ModelConfig) -> ModelConfig:
    """Return ``model`` with all in it that the experiment's encoder depends on (``complete_model``).

    Frozen encoders are looked up among this user's; those of files and runs are added to these.

    Raises:
        ConfigError: files or keys are missing, or an encoder is not installed or not usable.
        DataError: the folder of a run cannot be read.
    """
    references = frozen_references(experiment.encoder_name)
    if not references or model.Frozen.definition is not None:
        return complete_model(experiment.encoder_name, model)
    found = [run_as_encoder(name) if name.startswith(RUN) else find_encoder(name) for name in references]
    definition = [description.model_dump(exclude_none=True) for description in found]
    return model.model_copy(update={"Frozen": model.Frozen.model_copy(update={"definition": definition})})


def with_embeddings(
    dataset: Dataset, experiment: ExperimentConfig, model: ModelConfig, progress: Progress = silent
) -> Dataset:
    """The dataset as the network is trained and tested on it: for frozen encoders, their embeddings of its segments.

    What has not been embedded yet is embedded, and kept with the dataset.

    Args:
        dataset: the dataset; any of its classes may be left out.
        experiment: the encoder and the augmentation.
        model: complete (``complete_with_encoders``).
        progress: called while segments are embedded.

    Raises:
        ConfigError: an encoder is needed that is not installed.
        WriteError: the disk is full.
    """
    if not frozen_references(experiment.encoder_name) or model.Frozen.definition is None:
        return dataset
    views, whole = dataset.data.views, dataset.data.store
    if not isinstance(views, WaveViews):
        return dataset  # which is open as embeddings
    encoders = pool_encoders(views, experiment, model)
    store = dataset.folders.open_store(
        "waveforms", progress, experiment.store_precision, groups=experiment.disjoint_groups, encoders=encoders
    )
    if store.classes != whole.classes:
        store = select_classes(store, whole.classes)
    pooled = PooledViews(views, whole.shape[0], max(1, encoders[0].draws))
    return dataclasses.replace(dataset, data=TrainingData(store, dataset.data.splits, pooled))


def with_encoders(dataset: Dataset, experiment: ExperimentConfig, model: ModelConfig) -> Dataset:
    """The dataset's waveforms, which frozen encoders embed whenever that is asked: they may be changed before.

    Args:
        dataset: the dataset, opened as waveforms.
        experiment: the encoder and the augmentation.
        model: complete (``complete_with_encoders``).

    Raises:
        ConfigError: an encoder is not installed.
    """
    views = dataset.data.views
    if not frozen_references(experiment.encoder_name) or not isinstance(views, WaveViews):
        return dataset
    embedding = make_views_of_recordings(experiment, model, views.preprocessing, views.stats)
    return dataclasses.replace(dataset, data=dataclasses.replace(dataset.data, views=embedding))


def pool_encoders(views: WaveViews, experiment: ExperimentConfig, model: ModelConfig) -> list[PoolEncoder]:
    """What embeds the segments of a dataset, and their views if the experiment makes some: one for each encoder."""
    draws = model.Frozen.draws if experiment.augmentation else 0
    return [
        PoolEncoder(description, views.preprocessing, draws, views.params, views.stats)
        for description in read_descriptions(model.Frozen.definition or [], "the model config")
    ]


def set_scales(network: FewShotNetwork, dataset: Dataset) -> None:
    """Set what brings a network's inputs to one scale: numbers of the dataset's training classes.

    For frozen encoders every class has the same weight, every clip of a class, and every segment of a clip.
    """
    network.set_normalization(dataset.mean, dataset.std)
    if not isinstance(network.encoder, FrozenLayers):
        return
    store, rows, weights = dataset.data.store, [], []
    for name in dataset.data.splits.train:
        clips = store.index.by_class[name]
        for clip in clips.tolist():
            segments = np.array(store.index.segments(clip))
            rows.append(torch.from_numpy(store.read(segments)[:, 0]))
            weights.append(1 / (len(clips) * len(segments)))
    network.encoder.set_scale(*weighted_moments(rows, weights))
