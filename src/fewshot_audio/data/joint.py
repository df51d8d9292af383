"""Several dataset folders as one: the union of their splits over the union of their segments."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, read_wave_stats
from fewshot_audio.config import PHASES
from fewshot_audio.data.clip_files import list_clips
from fewshot_audio.data.joined_store import class_name, join_stores
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import Moments, read_norm
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

logger = logging.getLogger(__name__)

SEPARATOR = "+"  # between the names of datasets


@dataclass(frozen=True)
class DatasetFolders:
    """The dataset folders that a ``dataset_name`` stands for: one, or several ("A+B") that are used as one.

    If they are several, classes are called ``dataset/class``, so that equal names are different classes, and each
    dataset counts the same in the statistics that they share.
    """

    members: tuple[DatasetFolder, ...]

    @classmethod
    def find(cls, root: Path, name: str) -> "DatasetFolders":
        """Find ``ROOT/A`` and ``ROOT/B`` of "A+B", or one folder, as ``find_dataset`` does.

        A folder that is itself called "A+B" is one dataset. Raises DataError for a name that has no folder, and for a
        dataset that is named twice.
        """
        names = [name] if SEPARATOR not in name or (root / name).is_dir() else name.split(SEPARATOR)
        if not all(part.strip() for part in names):
            raise DataError(f"dataset {name!r}: a name is missing beside a {SEPARATOR!r}")
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
    ) -> SegmentStore:
        """Open the store of all folders' segments, packed first if needed (``SegmentStore.open``).

        Args:
            kind: which of the folders' arrays.
            progress: called while the store is packed.
            precision: how the packed stores keep numbers.
            groups: whether to read the source recordings of the clips.

        Raises:
            DataError: the datasets' segments differ in shape, or a store cannot be opened.
        """
        stores = [SegmentStore.open(member, kind, progress, precision) for member in self.members]
        if groups:
            for store, member in zip(stores, self.members, strict=True):
                if not store.read_groups(member.clips):
                    logger.warning(
                        "disjoint_groups is true, but %s knows no source recordings: it has no effect", member.clips
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
        """Read the splits' union."""
        every = [(member.name, read_splits(member.splits)) for member in self.members]
        if len(every) == 1:
            return every[0][1]
        return Splits(*(tuple(class_name(name, c) for name, each in every for c in each[phase]) for phase in PHASES))

    def list_classes(self) -> tuple[str, ...]:
        """Every class that has features, whether a split names it or not; each dataset's in alphabetical order."""
        classes = [(m.name, sorted({clip.class_name for clip in list_clips(m.features)})) for m in self.members]
        joined = len(classes) > 1
        return tuple(class_name(dataset, name) if joined else name for dataset, names in classes for name in names)

    def read_norm(self) -> tuple[float, float]:
        """Read mean and standard deviation of all training classes, each dataset counting the same."""
        every = [read_norm(member.norm_stats) for member in self.members]
        if len(every) == 1:
            return every[0]
        pooled = Moments.total(Moments(1, mean, std**2) for mean, std in every)
        return pooled.mean, pooled.std

    def read_preprocessing(self) -> Preprocessing | None:
        """Read how the features were made; None if a folder does not say. Raises DataError if the folders disagree."""
        files = [member.preprocessing for member in self.members if member.preprocessing.is_file()]
        every = [Preprocessing.from_json(file.read_text(encoding="utf-8"), str(file)) for file in files]
        for file, preprocessing in zip(files, every, strict=True):
            if preprocessing != every[0]:
                raise DataError(
                    f"{file} differs from {files[0]}: {preprocessing} instead of {every[0]}; datasets that are joined "
                    "need one preprocessing"
                )
        return every[0] if len(every) == len(self.members) else None

    def read_wave_stats(self) -> WaveStats | None:
        """Read the spectral statistics, averaged over the datasets; None if a folder has none."""
        files = [member.wave_stats for member in self.members]
        if not all(file.is_file() for file in files):
            return None
        every = [read_wave_stats(file) for file in files]
        return WaveStats.mean(every) if len(every) > 1 else every[0]


def folder_name(root: Path, name: str) -> str:
    """The name of a dataset's folders, whatever alias or case ``name`` is in; ``name`` itself if there are none."""
    try:
        return DatasetFolders.find(root, name).name
    except DataError:
        return name
