"""The contents of a dataset folder: counts, lengths, splits, and the largest episodes that they allow."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import PHASES
from fewshot_audio.data.clip_files import SEGMENT_AXES, list_clips, read_shape
from fewshot_audio.data.csv_files import read_numbered_rows, read_rows
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import find_norm, read_norm
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.files import write_atomic
from fewshot_audio.runtime.figures import new_figure, plot_label, write_figure

SMALLEST = 10  # classes that are listed by name
SHOTS = 5  # of the benchmark's episodes
AXES = SEGMENT_AXES["features"]


@dataclass(frozen=True)
class ClipRecord:
    """One clip; only folders prepared by this program have ``seconds``, only sources that name it have ``group``."""

    class_name: str
    segments: int
    seconds: float | None = None
    group: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset folder in numbers; parts that a folder made by other tools lacks are None."""

    folder: DatasetFolder
    clips: tuple[ClipRecord, ...]
    segment_shape: tuple[int, ...]
    splits: Splits | None
    norm: tuple[float, float] | None
    preprocessing: Preprocessing | None
    skipped: Mapping[str, int]

    @property
    def by_class(self) -> dict[str, int]:
        """Clips of every class."""
        return dict(sorted(Counter(clip.class_name for clip in self.clips).items()))

    @property
    def lengths(self) -> list[float] | None:
        """Seconds of every clip; None if they are unknown."""
        seconds = [clip.seconds for clip in self.clips if clip.seconds is not None]
        return seconds if len(seconds) == len(self.clips) else None

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        by_class = self.by_class
        classes_of_splits = set(self.splits.classes) if self.splits else set()
        return {
            "dataset": self.folder.name,
            "path": str(self.folder.path),
            "classes": len(by_class),
            "clips": len(self.clips),
            "segments": sum(clip.segments for clip in self.clips),
            "source_recordings": len({clip.group for clip in self.clips if clip.group}) or None,
            "segment": dict(zip(AXES, self.segment_shape, strict=True)),
            "seconds": _spread(self.lengths) if self.lengths else None,
            "splits": {phase: _split(self.splits[phase], by_class) for phase in PHASES} if self.splits else None,
            "classes_in_no_split": sorted(set(by_class) - classes_of_splits) if self.splits else None,
            "smallest_classes": dict(sorted(by_class.items(), key=lambda item: (item[1], item[0]))[:SMALLEST]),
            "normalization": dict(zip(("mean", "std"), self.norm, strict=True)) if self.norm else None,
            "waveforms": self.folder.waveforms.is_dir(),
            "preprocessing": self.preprocessing.model_dump() if self.preprocessing else None,
            "skipped": dict(self.skipped),
            "clips_by_class": by_class,
        }


def inspect_dataset(folder: DatasetFolder) -> DatasetInfo:
    """Read the tables of a dataset folder, and count what they do not contain.

    Raises:
        DataError: there are no features, or a file in the folder is damaged; names it.
    """
    if not folder.features.is_dir():
        raise DataError(f"{folder.features}: no such folder; a dataset folder keeps its features there")
    first = next(list_clips(folder.features), None)
    if first is None:
        raise DataError(f"{folder.features}: no <class>/<clip>.npy files in it")
    shape = read_shape(first.path, AXES)
    return DatasetInfo(
        folder,
        tuple(_read_clips(folder.clips) if folder.clips.is_file() else _count_segments(folder.features)),
        shape[1:],
        read_splits(folder.splits) if folder.splits.is_file() else None,
        read_norm(folder.norm_stats) if find_norm(folder.norm_stats) else None,
        DatasetFolders((folder,)).read_preprocessing(),
        Counter(row["reason"] for row in read_rows(folder.skipped, ("reason",))) if folder.skipped.is_file() else {},
    )


def plot_lengths(info: DatasetInfo, path: Path) -> None:
    """Draw how long the clips are (in segments, if seconds are unknown); the extension decides the format.

    Raises:
        FewShotError: matplotlib is missing, or has no such format.
    """
    figure = new_figure(8, 4)
    lengths = info.lengths
    axes = figure.subplots()
    axes.hist(lengths or [clip.segments for clip in info.clips], bins=50, color="#35618e")
    axes.set(title=f"{plot_label(info.folder.name)}: {len(info.clips)} clips", ylabel="clips")
    axes.set_xlabel("seconds" if lengths else "segments")
    kind = path.suffix[1:].lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise FewShotError(f"{path}: no picture format {kind!r}, try .png, .svg or .pdf")
    write_atomic(path, lambda stream: write_figure(figure, stream, kind))


def _read_clips(path: Path) -> Iterable[ClipRecord]:
    for line, row in read_numbered_rows(path, ("class", "segments", "seconds", "group")):
        try:
            segments, seconds = int(row["segments"]), float(row["seconds"])
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        if segments < 1 or not 0 < seconds < math.inf:
            raise DataError(f"{path}, line {line}: {segments} segments, {seconds:g} seconds, expected positive numbers")
        yield ClipRecord(row["class"], segments, seconds, row["group"])


def _count_segments(features: Path) -> Iterable[ClipRecord]:
    for clip in list_clips(features):
        yield ClipRecord(clip.class_name, read_shape(clip.path, AXES)[0])


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "total": sum(seconds),
        "shortest": min(seconds),
        "median": statistics.median(seconds),
        "mean": statistics.fmean(seconds),
        "longest": max(seconds),
    }


def _split(classes: Sequence[str], by_class: Mapping[str, int]) -> dict[str, Any]:
    """Counts of a split, and its largest episodes: every class must offer the support and query clips of one."""
    counts = {name: by_class.get(name, 0) for name in classes}
    least = min(counts.values(), default=0)
    return {
        "classes": len(classes),
        "clips": sum(counts.values()),
        "missing_classes": [name for name, count in counts.items() if not count],
        "smallest_class": min(counts, key=lambda name: (counts[name], name)) if counts else None,
        "largest": {
            "way": len(classes),
            "shot": max(least - 1, 0),  # and one query
            "query": max(least - 1, 0),  # and one shot
            f"query_at_{SHOTS}_shots": max(least - SHOTS, 0),
        },
    }
