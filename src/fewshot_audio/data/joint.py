"""Several dataset folders as one: the union of their splits over the union of their segments."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, read_wave_stats
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import Moments, read_norm
from fewshot_audio.data.splits import PHASES, Splits, read_splits
from fewshot_audio.data.store import Segments, SegmentStore, list_clips
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

logger = logging.getLogger(__name__)

JOIN = "+"  # between the names of datasets


@dataclass(frozen=True)
class DatasetFolders:
    """The dataset folders that a ``dataset_name`` stands for: one, or several ("A+B") that are used as one.

    Of several, classes are called ``dataset/class``, so that equal names are different classes, and each dataset counts
    the same in the statistics that they share.
    """

    members: tuple[DatasetFolder, ...]

    @classmethod
    def find(cls, root: Path, name: str) -> "DatasetFolders":
        """Find ``ROOT/A`` and ``ROOT/B`` of "A+B", or one folder, as ``find_dataset`` does; a folder that is itself
        called "A+B" is one dataset.

        Raises DataError for a name that has no folder, and for a dataset that is named twice.
        """
        names = [name] if JOIN not in name or (root / name).is_dir() else name.split(JOIN)
        if not all(part.strip() for part in names):
            raise DataError(f"dataset {name!r}: a name is missing beside a {JOIN!r}")
        members = tuple(find_dataset(root, part.strip()) for part in names)
        if len(set(members)) < len(members):
            raise DataError(f"dataset {name!r} names a folder twice: {', '.join(str(m.path) for m in members)}")
        return cls(members)

    @property
    def name(self) -> str:
        """The folders' own names: "A+B"."""
        return JOIN.join(member.name for member in self.members)

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
        """Open the store, packed first where it must be (``SegmentStore.open``); with ``groups`` it knows the source
        recordings of its clips.

        Raises DataError where the datasets' segments differ in shape.
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
        every = [read_splits(member.splits) for member in self.members]
        if len(every) == 1:
            return every[0]
        named = list(zip((member.name for member in self.members), every, strict=True))
        return Splits(
            *(
                tuple(class_name(dataset, name) for dataset, splits in named for name in splits[phase])
                for phase in PHASES
            )
        )

    def list_classes(self) -> tuple[str, ...]:
        """Every class that has features, whether a split names it or not, in alphabetical order of a dataset's."""
        found = [(m.name, sorted({clip.class_name for clip in list_clips(m.features)})) for m in self.members]
        joined = len(found) > 1
        return tuple(class_name(dataset, name) if joined else name for dataset, names in found for name in names)

    def read_norm(self) -> tuple[float, float]:
        """Read mean and standard deviation: of the training classes of all, each dataset counting the same."""
        every = [read_norm(member.norm_stats) for member in self.members]
        if len(every) == 1:
            return every[0]
        pooled = Moments.total(Moments(1, mean, std**2) for mean, std in every)
        return pooled.mean, pooled.std

    def read_preprocessing(self) -> Preprocessing | None:
        """Read how the features were made; None where a folder does not say. Raises DataError where they disagree."""
        files = [member.preprocessing for member in self.members if member.preprocessing.is_file()]
        known = [Preprocessing.from_json(file.read_text(encoding="utf-8"), str(file)) for file in files]
        for file, preprocessing in zip(files, known, strict=True):
            if preprocessing != known[0]:
                raise DataError(
                    f"{file} differs from {files[0]}: {preprocessing} instead of {known[0]}; datasets that are joined "
                    "need one preprocessing"
                )
        return known[0] if len(known) == len(self.members) else None

    def read_wave_stats(self) -> WaveStats | None:
        """Read the spectral statistics, the mean of the datasets'; None where a folder has none."""
        files = [member.wave_stats for member in self.members]
        if not all(file.is_file() for file in files):
            return None
        every = [read_wave_stats(file) for file in files]
        return WaveStats.mean(every) if len(every) > 1 else every[0]


def known_name(root: Path, name: str) -> str:
    """The dataset's name as its folders have it, whatever alias or case is given; as given where there is none."""
    try:
        return DatasetFolders.find(root, name).name
    except DataError:
        return name


def class_name(dataset: str, name: str) -> str:
    """What a class of a joined dataset is called; neither part holds a slash, both being folders' names."""
    return f"{dataset}/{name}"


class JoinedRows:
    """The rows of several stores, one after the other; nothing is copied before it is asked for."""

    def __init__(self, stores: Sequence[SegmentStore]) -> None:
        self._stores = stores
        self._starts = [0, *accumulate(len(store.segments) for store in stores)]
        self._numbers = np.arange(self._starts[-1])
        self._dtype = stores[0].segments[:0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self), *self._stores[0].shape)

    @property
    def nbytes(self) -> int:
        """As an array's."""
        return sum(store.segments.nbytes for store in self._stores)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._numbers)

    def __getitem__(self, indices: Any) -> Segments:
        """Copy rows, each store's in one go. Raises IndexError for an index that is not below ``shape[0]``."""
        wanted = np.asarray(self._numbers[indices])
        rows = np.empty((*wanted.shape, *self._stores[0].shape), self._dtype)
        for store, start, end in zip(self._stores, self._starts, self._starts[1:], strict=False):
            here = (start <= wanted) & (wanted < end)
            if here.any():
                own = wanted[here] - start
                store.read_ahead(own)
                rows[here] = store.segments[own]
        return rows


def join_stores(names: Sequence[str], stores: Sequence[SegmentStore]) -> SegmentStore:
    """One store of the clips of several datasets, in their order, still memory-mapped.

    The index says which dataset a class is of, and keeps the source recordings where all stores know them.
    """
    clips = [0, *accumulate(len(store.clips) for store in stores)]
    classes = [0, *accumulate(len(store.classes) for store in stores)]
    segments = [0, *accumulate(len(store.segments) for store in stores)]
    joined = SegmentStore(
        JoinedRows(stores),
        [class_name(name, of) for name, store in zip(names, stores, strict=True) for of in store.classes],
        [clip for store in stores for clip in store.clips],
        np.concatenate([store.class_of + first for store, first in zip(stores, classes, strict=False)]),
        np.concatenate([[0], *(s.index.offsets[1:] + first for s, first in zip(stores, segments, strict=False))]),
    )
    datasets = {class_name(n, of): n for n, store in zip(names, stores, strict=True) for of in store.classes}
    joined.index = replace(joined.index, datasets=datasets)
    groups = [store.index.groups for store in stores if store.index.groups is not None]
    if len(groups) == len(stores):  # a group's number is below its store's number of clips
        joined.use_groups(np.concatenate([of + first for of, first in zip(groups, clips, strict=False)]))
    return joined
