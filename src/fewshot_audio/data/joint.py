"""Several dataset folders as one: the union of their splits over the union of their segments."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, read_wave_stats
from fewshot_audio.config import PHASES
from fewshot_audio.data.clip_files import list_clips
from fewshot_audio.data.embedded_store import SegmentEncoder, open_embedded
from fewshot_audio.data.joined_store import join_stores, joined_class_name
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import Moments, read_norm
from fewshot_audio.data.published import published_wave_stats
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

logger = logging.getLogger(__name__)

SEPARATOR = "+"  # between the names of datasets


@dataclass(frozen=True)
class DatasetFolders:
    """The dataset folders that a ``dataset_name`` stands for: one, or several ("A+B") that are used as one.

    If there are several, classes are called ``dataset/class``, so that equal names stay different classes, and every
    dataset has the same weight in the shared statistics.
    """

    members: tuple[DatasetFolder, ...]

    @classmethod
    def find(cls, root: Path, name: str) -> "DatasetFolders":
        """Find ``ROOT/A`` and ``ROOT/B`` of "A+B", or one folder, as ``find_dataset`` does.

        A folder that is itself called "A+B" is one dataset.

        Raises:
            DataError: a name has no folder, or a dataset is named twice.
        """
        names = [name] if SEPARATOR not in name or (root / name).is_dir() else name.split(SEPARATOR)
        if not all(part.strip() for part in names):
            raise DataError(f"dataset {name!r}: a name is missing before or after a {SEPARATOR!r}")
        members = tuple(find_dataset(root, part.strip()) for part in names)
        if len(set(members)) < len(members):
            raise DataError(f"dataset {name!r} names a folder twice: {', '.join(str(m.path) for m in members)}")
        return cls(members)

    @property
    def name(self) -> str:
        """The folders' own names: "A+B"."""
        return SEPARATOR.join(member.name for member in self.members)

    def __str__(self) -> str:
        """The folders' paths, for messages."""
        return " and ".join(str(member.path) for member in self.members)

    @property
    def have_waveforms(self) -> bool:
        """Whether all folders keep waveforms."""
        return all(member.waveforms.is_dir() for member in self.members)

    def open_store(
        self,
        kind: Literal["features", "waveforms"] = "features",
        progress: Progress = silent,
        precision: Literal["float32", "float16"] = "float32",
        *,
        groups: bool = False,
        encoders: Sequence[SegmentEncoder] = (),
    ) -> SegmentStore:
        """Open the store of all folders' segments; it is packed first if necessary (``SegmentStore.open``).

        Args:
            kind: which of the folders' arrays.
            progress: called while the store is packed.
            precision: how the packed stores keep numbers.
            groups: whether to read the source recordings of the clips.
            encoders: whose embeddings of the waveforms are opened instead (``open_embedded``); none if left out.

        Raises:
            DataError: the datasets' segments differ in shape, or a store cannot be opened.
        """
        if encoders:
            stores = [open_embedded(member, encoders, progress, precision) for member in self.members]
        else:
            stores = [SegmentStore.open(member, kind, progress, precision) for member in self.members]
        if groups:
            for store, member in zip(stores, self.members, strict=True):
                if not store.read_groups(member.clips):
                    logger.warning(
                        "disjoint_groups is true, but %s names no source recordings: it has no effect", member.clips
                    )
        if len(stores) == 1:
            return stores[0]
        for store, member in zip(stores[1:], self.members[1:], strict=True):
            if store.shape != stores[0].shape:
                raise DataError(
                    f"{member.path} has segments of {store.shape}, but {self.members[0].path} of {stores[0].shape}: "
                    "datasets that are joined need one shape; prepare them with the same --segment-seconds"
                )
        return join_stores([member.name for member in self.members], stores)

    def read_splits(self) -> Splits:
        """Read the union of the splits."""
        splits = [(member, read_splits(member.splits)) for member in self.members]
        return Splits(*(self._class_names((m, split[phase]) for m, split in splits) for phase in PHASES))

    def list_classes(self) -> tuple[str, ...]:
        """List every class that has features, in a split or not; those of a dataset are in alphabetical order."""
        classes = ((m, sorted({clip.class_name for clip in list_clips(m.features)})) for m in self.members)
        return self._class_names(classes)

    def _class_names(self, classes: Iterable[tuple[DatasetFolder, Sequence[str]]]) -> tuple[str, ...]:
        joined = len(self.members) > 1
        return tuple(joined_class_name(m.name, name) if joined else name for m, names in classes for name in names)

    def read_norm(self) -> tuple[float, float]:
        """Read mean and standard deviation of all training classes; every dataset has the same weight."""
        norms = [read_norm(member.norm_stats) for member in self.members]
        if len(norms) == 1:
            return norms[0]
        pooled = Moments.total(Moments(1, mean, std**2) for mean, std in norms)
        return pooled.mean, pooled.std

    def read_preprocessing(self) -> Preprocessing | None:
        """Read how the features were made; None if a folder does not say.

        Raises:
            DataError: the folders disagree.
        """
        settings = {m.preprocessing: setting for m in self.members if (setting := m.read_preprocessing())}
        files = list(settings)
        for file, preprocessing in settings.items():
            if preprocessing != settings[files[0]]:
                raise DataError(
                    f"{file} differs from {files[0]}: {preprocessing} instead of {settings[files[0]]}; datasets that "
                    "are joined need one preprocessing"
                )
        return settings[files[0]] if len(files) == len(self.members) else None

    def read_wave_stats(self) -> WaveStats | None:
        """Read the spectral statistics, or the published ones, averaged over the datasets; None if one has none."""
        stats = [_read_wave_stats(member) for member in self.members]
        complete = [each for each in stats if each is not None]
        return WaveStats.mean(complete) if len(complete) == len(stats) else None


def _read_wave_stats(folder: DatasetFolder) -> WaveStats | None:
    if folder.wave_stats.is_file():
        return read_wave_stats(folder.wave_stats)
    stats = published_wave_stats(folder.name)
    if stats:
        logger.warning("%s: missing; the published statistics of %s are used", folder.wave_stats, folder.name)
    return stats


def folder_name(root: Path, name: str) -> str:
    """Return the name of a dataset's folders for any alias or case of it; ``name`` itself if there are none."""
    try:
        return DatasetFolders.find(root, name).name
    except DataError:
        return name
