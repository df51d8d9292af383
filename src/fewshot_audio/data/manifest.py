"""What preparation knows about a dataset folder: the journal it resumes from, ``clips.csv`` and ``skipped.csv``."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import Moments
from fewshot_audio.data.sources.base import Skipped
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text

JOURNAL = ".prepare.jsonl"


@dataclass(frozen=True, slots=True)
class Clip:
    """One prepared clip, under the names it has on disk."""

    class_name: str
    clip: str
    source: str
    fingerprint: str
    segments: int
    samples: int
    moments: Moments
    wave_stats: WaveStats | None  # measured where waveforms are kept

    @property
    def key(self) -> tuple[str, str]:
        """Class and clip as they are named on disk."""
        return self.class_name, self.clip


_FIELDS = tuple(field.name for field in dataclasses.fields(Clip))
_MOMENTS = tuple(field.name for field in dataclasses.fields(Moments))
_encode = json.JSONEncoder(ensure_ascii=False).encode


class Journal:
    """Which clips are done: a header line that says how, then one line per clip, appended as they are done.

    A line is written after its clip's files, which are then on disk unless its class was left out as too small. A line
    that was cut off by a kill is forgotten, with whatever follows.
    """

    def __init__(self, folder: DatasetFolder, header: dict[str, Any]) -> None:
        self.path = folder.path / JOURNAL
        self.header = header
        self.done: dict[tuple[str, str], Clip] = {}
        self.fresh = True  # no earlier preparation with the same header
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            first, *lines = self.path.read_bytes().removesuffix(b"\n").split(b"\n")
            if json.loads(first) != self.header:
                return
            self.fresh = False
            for line in lines:
                clip = _clip(json.loads(line))
                self.done[clip.class_name, clip.clip] = clip
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError):
            return  # cut off here

    def __enter__(self) -> Self:
        """Rewrite what was read, so that new lines follow complete ones, and open it for more."""
        self.compact()
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()

    def add(self, clips: Iterable[Clip]) -> None:
        """Record clips whose files are on disk."""
        for clip in clips:
            self.done[clip.class_name, clip.clip] = clip
            self._stream.write(_line(clip))
        self._stream.flush()

    def keep(self, keys: Iterable[tuple[str, str]], wave_stats: bool) -> None:
        """Forget every clip but these, and what was measured of their waveforms unless ``wave_stats``."""
        kept = {key: self.done[key] for key in keys}
        self.done = {k: c if wave_stats else dataclasses.replace(c, wave_stats=None) for k, c in kept.items()}

    def compact(self) -> None:
        """Write the journal anew, in an order that does not depend on how the work went."""
        lines = [json.dumps(self.header, ensure_ascii=False) + "\n"]
        write_text(self.path, "".join(lines + [_line(self.done[key]) for key in sorted(self.done)]))


def _line(clip: Clip) -> str:
    values = {name: getattr(clip, name) for name in _FIELDS}  # asdict would copy everything in depth, 300,000 times
    values["moments"] = {name: getattr(clip.moments, name) for name in _MOMENTS}
    values["wave_stats"] = clip.wave_stats and dataclasses.asdict(clip.wave_stats)
    return _encode(values) + "\n"


def _clip(values: dict[str, Any]) -> Clip:
    stats = values["wave_stats"]
    nested = {"moments": Moments(**values["moments"]), "wave_stats": WaveStats(**stats) if stats else None}
    return Clip(**{**values, **nested})


def write_clips(folder: DatasetFolder, clips: Sequence[Clip], groups: dict[tuple[str, str], str], rate: int) -> None:
    """Write ``clips.csv``: class, clip, source, group, segments, seconds."""
    rows = (
        (c.class_name, c.clip, c.source, groups[c.class_name, c.clip], c.segments, f"{c.samples / rate:.4f}")
        for c in clips
    )
    _write_csv(folder.clips, ("class", "clip", "source", "group", "segments", "seconds"), rows)


def write_skipped(folder: DatasetFolder, skipped: Sequence[Skipped]) -> None:
    """Write ``skipped.csv``: source, class, reason, detail."""
    rows = ((s.source, s.class_name, s.reason.value, s.detail) for s in skipped)
    _write_csv(folder.skipped, ("source", "class", "reason", "detail"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read the rows of ``clips.csv`` or ``skipped.csv``; raises DataError where it has not these columns."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column {missing[0]!r} is missing (found: {reader.fieldnames})")
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def prune(folder: DatasetFolder, keep: set[tuple[str, str]], waveforms: bool) -> int:
    """Remove clips that are not in ``keep`` and temporary files of killed writers; returns the number of clips."""
    removed = 0
    for root, wanted in ((folder.features, True), (folder.waveforms, waveforms)):
        for class_entry in os.scandir(root) if root.is_dir() else ():
            if not class_entry.is_dir(follow_symlinks=False):
                continue
            left = 0
            for entry in os.scandir(class_entry):
                name, extension = os.path.splitext(entry.name)  # noqa: PTH122 - strings, 300,000 times
                if wanted and extension == ".npy" and (class_entry.name, name) in keep:
                    left += 1
                elif extension in (".npy", ".tmp"):
                    Path(entry.path).unlink()
                    removed += extension == ".npy" and root == folder.features
                else:
                    left += 1
            if not left:
                Path(class_entry.path).rmdir()
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()
    for leftover in (*folder.path.glob(".*.tmp"), *folder.norm_stats.parent.glob(".*.tmp")):
        leftover.unlink()
    return removed
