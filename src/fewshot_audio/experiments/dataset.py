"""An experiment's dataset, opened and checked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import (
    PHASES,
    ExperimentConfig,
    ModelConfig,
    Phase,
    check_classes,
    check_front_end,
    check_input,
)
from fewshot_audio.config.model import PRETRAINED
from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.disjoint_groups import check_groups
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.splits import Splits
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.errors import DataError, format_names
from fewshot_audio.models.huggingface import check_segment
from fewshot_audio.models.views import make_views
from fewshot_audio.progress import Progress, silent


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder, or several as one.

    Attributes:
        folders: the dataset folders.
        data: segments, splits and the maker of views.
        mean: mean of the training features, dB.
        std: standard deviation of the training features, dB.
        preprocessing: of the recordings; None for a folder that other software made.
    """

    folders: DatasetFolders
    data: TrainingData
    mean: float
    std: float
    preprocessing: Preprocessing | None

    @property
    def fingerprint(self) -> str:
        """A hash of the clips, their numbers of segments, the splits and the normalization numbers."""
        store, splits = self.data.store, self.data.splits
        names = [splits[phase] for phase in PHASES], store.classes, store.clips, self.mean, self.std
        digest = hashlib.sha256(repr(names).encode("utf-8", "surrogateescape"))
        digest.update(store.class_of.tobytes() + store.index.offsets.tobytes())
        return digest.hexdigest()

    @property
    def input_shape(self) -> tuple[int, int]:
        """Mel bins and frames that the network sees."""
        return self.data.views.input_shape(self.data.store.shape)

    def check_input(self, experiment: ExperimentConfig, model: ModelConfig) -> None:
        """Check that the network takes these segments, and augmentation their features. Raises ConfigError."""
        check_front_end(experiment, (self.preprocessing or Preprocessing()).frontend)
        check_input(experiment, model, *self.input_shape)
        name = experiment.encoder_name
        if isinstance(name, str) and name.startswith(PRETRAINED):
            rate = (self.preprocessing or Preprocessing()).sample_rate
            check_segment(name, model.Pretrained.definition, self.data.store.shape[-1], rate)


def open_dataset(
    root: Path, experiment: ExperimentConfig, progress: Progress = silent, phases: Sequence[Phase] = PHASES
) -> Dataset:
    """Open the experiment's dataset and check that it is large enough for the episodes of ``phases``.

    Args:
        root: folder of the dataset folders.
        experiment: says which dataset, which input and which episodes.
        progress: called while segments are packed.
        phases: the phases whose episodes are checked.

    Raises:
        DataError: a file is missing or wrong, or a class lacks clips.
        ConfigError: the splits are too small for the episodes.
    """
    folders = DatasetFolders.find(root, experiment.dataset_name)
    splits = folders.read_splits()
    mean, std = folders.read_norm()
    kind: Literal["features", "waveforms"] = "waveforms" if experiment.input_type == "wav" else "features"
    store = folders.open_store(kind, progress, experiment.store_precision, groups=experiment.disjoint_groups)
    absent = [name for name in splits.classes if name not in store.index.by_class]
    if absent:
        raise DataError(
            f"the splits of {folders} name {len(absent)} classes that its {kind} lack: {format_names(absent)}"
        )
    check_episodes(experiment, store.index, splits, phases)
    preprocessing = folders.read_preprocessing()
    views = make_views(experiment, preprocessing, folders.read_wave_stats() if kind == "waveforms" else None)
    return Dataset(folders, TrainingData(store, splits, views), mean, std, preprocessing)


def check_episodes(experiment: ExperimentConfig, index: ClipIndex, splits: Splits, phases: Sequence[Phase]) -> None:
    """Check that there are enough classes, clips and source recordings for the episodes of ``phases``.

    Raises:
        ConfigError: too few classes or clips; names split, class and numbers.
        DataError: too few source recordings.
    """
    pools = {phase: index.pools(splits[phase], experiment.joint_sampling) for phase in phases}
    for dataset in dict.fromkeys(name for by_dataset in pools.values() for name in by_dataset):
        counts: dict[Phase, dict[str, int]] = {
            phase: {name: len(index.by_class[name]) for name in by_dataset[dataset]}
            for phase, by_dataset in pools.items()
            if dataset in by_dataset
        }
        check_classes(experiment, counts, dataset)
    if experiment.disjoint_groups and index.groups is not None:
        for phase in phases:
            by_class = {name: index.by_class[name] for name in splits[phase]}
            check_groups(index.groups, by_class, experiment.shot(phase), experiment.query(phase), phase)
