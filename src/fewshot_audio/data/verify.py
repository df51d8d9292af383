"""Verify a dataset folder: every clip, every packed segment, and the normalization numbers."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewshot_audio.data.clip_checksums import is_intact, read_checksums
from fewshot_audio.data.clip_files import list_clips
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import Moments, find_norm, read_norm
from fewshot_audio.data.preparation_journal import read_journal
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.store_folder import StoreFolder
from fewshot_audio.data.stored_rows import StoredRows
from fewshot_audio.progress import Progress, silent

Kind = Literal["features", "waveforms"]
KINDS: tuple[Kind, ...] = ("features", "waveforms")
PRECISIONS: tuple[Literal["float32", "float16"], ...] = ("float32", "float16")
THREADS = 4


@dataclass(frozen=True)
class Verification:
    """What was verified, and what is damaged.

    Attributes:
        clips: number of files that were compared with their checksums.
        unknown: number of files that no checksum is recorded of.
        damaged: files that are missing, or not as `prepare` wrote them.
        segments: number of packed segments that were verified; damaged ones have been packed anew.
        norm_differs: whether mean or standard deviation is not what `prepare` computes for the training classes;
            None if that is not known.
    """

    clips: int
    unknown: int
    damaged: Sequence[Path]
    segments: int
    norm_differs: bool | None


def verify_dataset(folder: DatasetFolder, progress: Progress = silent) -> Verification:
    """Compare everything in a dataset folder that has a checksum with it.

    A damaged store is packed anew, as it is when it is used; if clips are damaged, stores are left alone.

    Args:
        folder: the dataset folder.
        progress: called as clips and segments are verified.

    Raises:
        DataError: a file cannot be read.
    """
    clips, unknown, damaged = 0, 0, list[Path]()
    for kind in KINDS:
        root = folder.features if kind == "features" else folder.waveforms
        files = list(list_clips(root)) if root.is_dir() else []
        checksums = read_checksums(folder, kind)
        classes = {file.class_name for file in files}  # those that were left out as too small have no files
        recorded = [
            (root / name / f"{clip}.npy", checksum) for (name, clip), checksum in checksums.items() if name in classes
        ]
        clips += len(recorded)
        unknown += sum((file.class_name, file.name) not in checksums for file in files)
        with ThreadPoolExecutor(THREADS) as threads:
            verdicts = threads.map(lambda item: is_intact(*item), recorded)
            for done, ((path, _), intact) in enumerate(zip(recorded, verdicts, strict=True), start=1):
                if not intact:
                    damaged.append(path)
                if done % 256 == 0 or done == len(recorded):
                    progress(f"verifying {kind}", done, len(recorded))
    segments = 0 if damaged else sum(_verify_stores(folder, kind, progress) for kind in KINDS)
    return Verification(clips, unknown, tuple(damaged), segments, _norm_differs(folder))


def _verify_stores(folder: DatasetFolder, kind: Kind, progress: Progress) -> int:
    segments = 0
    for precision in PRECISIONS:
        if StoreFolder(folder, kind, precision).exists():
            rows = SegmentStore.open(folder, kind, progress, precision).segments
            assert isinstance(rows, StoredRows)
            rows.verify(progress)
            segments += len(rows)
    return segments


def _norm_differs(folder: DatasetFolder) -> bool | None:
    """Whether the numbers are others than `prepare` computes; they may have been edited on purpose."""
    moments: dict[str, list[Moments]] = {}
    for clip in read_journal(folder):
        moments.setdefault(clip.class_name, []).append(clip.moments)
    if not folder.splits.is_file() or not find_norm(folder.norm_stats):
        return None
    training = read_splits(folder.splits).train
    if any(name not in moments for name in training):
        return None
    total = Moments.total(part for name in training for part in moments[name])
    return not all(map(math.isclose, (total.mean, total.std), read_norm(folder.norm_stats)))
