"""Recordings of the background: a bounded number of segments of each, in memory that does not grow with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.clips import Clip, Clips, LoadedClip, as_clips, as_text, clip_samples
from fewshot_audio.recognition.sliding import slide

MOST_KEPT = 64
"""Segments that are kept of a recording. Of a longer one they are taken at even distances: the first of every 2, 4, 8
... segments, so that 33 to 64 are left."""


@dataclass(frozen=True)
class BackgroundClip(LoadedClip):
    """A recording of the background whose segments are chosen, and normalized each by itself."""


def background_clips(clips: Clips, preprocessing: Preprocessing, rate: float | None = None) -> Iterator[BackgroundClip]:
    """Load recordings of the background one after another; each segment is normalized by itself, as in a scan.

    Args:
        clips: the recordings.
        preprocessing: how they become segments.
        rate: of arrays that come without their own, Hz.

    Raises:
        DataError: a recording cannot be used; names the file or the number of the array, and the reason.
    """
    for number, clip in enumerate(as_clips(clips), start=1):
        name = as_text(Path(clip).name) if isinstance(clip, str | Path) else f"clip {number}"
        if isinstance(clip, LoadedClip):
            name = clip.name or name
        try:
            yield clip if isinstance(clip, BackgroundClip) else _load(clip, name, preprocessing, rate)
        except Rejected as error:
            raise DataError(f"{as_text(clip) if isinstance(clip, str | Path) else name}: {error}") from error


def _load(clip: Clip, name: str, preprocessing: Preprocessing, given_rate: float | None) -> BackgroundClip:
    rate = preprocessing.recording_rate
    if isinstance(clip, str | Path):
        decoding = Decoding(Path(clip), rate)
        loaded = _segments(iter(decoding), name, preprocessing, decoding)
        decoding.level.check(rate)
        return loaded
    if isinstance(clip, LoadedClip):
        return _segments([clip.segments.reshape(-1)[: round(clip.seconds * rate)]], name, preprocessing)
    return _segments([clip_samples(clip, rate, given_rate, name).samples], name, preprocessing)


def _segments(
    blocks: Iterable[Samples], name: str, preprocessing: Preprocessing, decoding: Decoding | None = None
) -> BackgroundClip:
    """Cut a stream into segments, and keep some of those that are not silent."""
    length, rate = preprocessing.segment_samples, preprocessing.recording_rate
    kept: list[tuple[int, Samples]] = []
    silent: list[int] = []
    every, seconds = 1, 0.0
    for number, (_, samples) in enumerate(slide(blocks, length, length)):
        if number % every or (number and len(samples) < length):
            continue
        try:
            normalized = preprocessing.normalize(samples, decoding.level.floor if decoding else 0.0)
        except Rejected as error:
            if error.reason != Reason.SILENT:
                raise
            silent.append(number)
            continue
        seconds = len(samples) / rate  # of the last one that is kept: only a single one may be shorter
        kept.append((number, preprocessing.segments(normalized)[0]))
        if len(kept) > MOST_KEPT:
            every *= 2
            kept = [(place, segment) for place, segment in kept if place % every == 0]
    if not kept:
        raise Rejected(Reason.SILENT, "nothing to hear in any segment")
    n_silent = sum(number % every == 0 for number in silent)  # of those at the distances of the kept ones
    share = n_silent / (n_silent + len(kept))
    damage = decoding.damage if decoding else ""
    all_seconds = seconds + (len(kept) - 1) * preprocessing.recording_seconds
    return BackgroundClip(name, np.stack([segment for _, segment in kept]), share, all_seconds, damage)
