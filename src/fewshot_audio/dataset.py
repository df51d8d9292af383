"""An experiment's dataset, opened and checked."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import read_wave_stats
from fewshot_audio.config import PHASES, ExperimentConfig, ModelConfig, Phase, check_classes, check_input
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import read_norm
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError
from fewshot_audio.groups import check_groups
from fewshot_audio.loading import TrainingData
from fewshot_audio.models.pretrained import check_segment
from fewshot_audio.progress import Progress, silent
from fewshot_audio.views import make_views

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder."""

    folder: DatasetFolder
    data: TrainingData
    mean: float
    std: float
    preprocessing: Preprocessing | None

    @property
    def fingerprint(self) -> str:
        """Changes with the clips, their segments, the splits and the normalisation numbers."""
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
        """Check that the network takes segments of this length. Raises ConfigError with the numbers."""
        check_input(experiment, model, *self.input_shape)
        rate = (self.preprocessing or Preprocessing()).sample_rate
        check_segment(experiment, model, self.data.store.shape[-1], rate)


def open_dataset(
    root: Path, experiment: ExperimentConfig, progress: Progress = silent, phases: Sequence[Phase] = PHASES
) -> Dataset:
    """Open the experiment's dataset and check that it offers what the episodes of ``phases`` ask for.

    Raises DataError or ConfigError naming the file, class or key.
    """
    folder = find_dataset(root, experiment.dataset_name)
    splits = read_splits(folder.splits)
    mean, std = read_norm(folder.norm_stats)
    kind: Literal["features", "waveforms"] = "waveforms" if experiment.input_type == "wav" else "features"
    store = SegmentStore.open(folder, kind, progress, experiment.store_precision)
    absent = [name for name in splits.classes if name not in store.index.by_class]
    if absent:
        listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise DataError(f"{folder.splits} names {len(absent)} classes that {folder.features} lacks: {listed}")
    counts = {phase: {name: len(store.index.by_class[name]) for name in splits[phase]} for phase in phases}
    check_classes(experiment, counts)
    if experiment.disjoint_groups:
        _use_groups(store, folder, splits, experiment, phases)
    known = folder.preprocessing.is_file()
    text = folder.preprocessing.read_text(encoding="utf-8") if known else ""
    preprocessing = Preprocessing.from_json(text, str(folder.preprocessing)) if known else None
    stats = read_wave_stats(folder.wave_stats) if folder.wave_stats.is_file() else None
    views = make_views(experiment, preprocessing, stats)
    return Dataset(folder, TrainingData(store, splits, views), mean, std, preprocessing)


def _use_groups(
    store: SegmentStore, folder: DatasetFolder, splits: Splits, experiment: ExperimentConfig, phases: Sequence[Phase]
) -> None:
    """Let the store know its clips' source recordings, and check that there are enough of them."""
    if not store.read_groups(folder.clips):
        logger.warning("disjoint_groups is true, but %s knows no source recordings: it has no effect", folder.clips)
    groups = store.index.groups
    if groups is not None:
        for phase in phases:
            by_class = {name: store.index.by_class[name] for name in splits[phase]}
            check_groups(groups, by_class, experiment.shot(phase), experiment.query(phase), phase)
