"""``clips.csv`` and ``skipped.csv`` of a dataset folder: what was prepared, and what was not."""

from collections.abc import Mapping, Sequence

from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.preparation_journal import PreparedClip
from fewshot_audio.data.sources.base import SkippedInput
from fewshot_audio.files import write_text


def write_clips(
    folder: DatasetFolder, clips: Sequence[PreparedClip], groups: Mapping[tuple[str, str], str], sample_rate: int
) -> None:
    """Write ``clips.csv``."""
    rows = (
        {
            "class": clip.class_name,
            "clip": clip.clip,
            "source": clip.source,
            "group": groups[clip.key],
            "segments": clip.segments,
            "seconds": f"{clip.samples / sample_rate:.4f}",
        }
        for clip in clips
    )
    write_text(folder.clips, csv_table(("class", "clip", "source", "group", "segments", "seconds"), rows))


def write_skipped(folder: DatasetFolder, skipped: Sequence[SkippedInput]) -> None:
    """Write ``skipped.csv``."""
    rows = (
        {"source": item.source, "class": item.class_name, "reason": item.reason.value, "detail": item.detail}
        for item in skipped
    )
    write_text(folder.skipped, csv_table(("source", "class", "reason", "detail"), rows))
