"""``clips.csv`` and ``skipped.csv`` of a dataset folder: what was prepared, and what was not."""

from collections.abc import Mapping, Sequence

from fewshot_audio.data.csv_files import write_rows
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.preparation_journal import PreparedClip
from fewshot_audio.data.sources.base import SkippedInput


def write_clips(
    folder: DatasetFolder, clips: Sequence[PreparedClip], groups: Mapping[tuple[str, str], str], sample_rate: int
) -> None:
    """Write ``clips.csv``: class, clip, source, group, segments, seconds."""
    rows = (
        (c.class_name, c.clip, c.source, groups[c.key], c.segments, f"{c.samples / sample_rate:.4f}") for c in clips
    )
    write_rows(folder.clips, ("class", "clip", "source", "group", "segments", "seconds"), rows)


def write_skipped(folder: DatasetFolder, skipped: Sequence[SkippedInput]) -> None:
    """Write ``skipped.csv``: source, class, reason, detail."""
    rows = ((s.source, s.class_name, s.reason.value, s.detail) for s in skipped)
    write_rows(folder.skipped, ("source", "class", "reason", "detail"), rows)
