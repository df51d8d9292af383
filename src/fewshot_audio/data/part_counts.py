"""How many recordings and classes each part of a source has, before and after small classes are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from fewshot_audio.config import PHASES
from fewshot_audio.data.splits import Splits


@dataclass(frozen=True)
class Count:
    """Recordings, the classes that have any, and how many of these are too small."""

    recordings: int
    classes: int
    small: int

    @classmethod
    def of(cls, classes: Sequence[str], clips: Mapping[str, int], least_clips: int) -> Self:
        """Count the clips of some classes."""
        counts = [clips[name] for name in classes if clips.get(name)]
        return cls(sum(counts), len(counts), sum(count < least_clips for count in counts))


@dataclass(frozen=True)
class PartCounts:
    """Counts of one part of a source: all its recordings, the usable ones, and those of classes that are not small."""

    part: str
    source: Count
    usable: Count
    prepared: Count


def count_parts(
    recordings: Mapping[str, int], usable: Mapping[str, int], splits: Splits, least_clips: int
) -> tuple[PartCounts, ...]:
    """Count the recordings of all classes, of each split, and of the classes in no split ("unused"), if any.

    Args:
        recordings: recordings of each class in the source.
        usable: usable clips of every class, including classes without any.
        splits: the splits, before small classes are left out.
        least_clips: classes with fewer usable clips are left out; if 0, the result is empty.
    """
    if not least_clips:
        return ()
    prepared = {name: count for name, count in usable.items() if count >= least_clips}
    parts: dict[str, tuple[str, ...]] = {"all": tuple(usable), **{phase: splits[phase] for phase in PHASES}}
    unused = tuple(name for name in usable if name not in set(splits.classes))
    if unused:
        parts["unused"] = unused
    return tuple(
        PartCounts(part, *(Count.of(classes, clips, least_clips) for clips in (recordings, usable, prepared)))
        for part, classes in parts.items()
    )
