"""Clips cut out of recordings at annotated events."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.recognition.clips import LoadedClip, as_text
from fewshot_audio.recognition.enrolled import LONGEST_CLIP_NAME

LONGEST_EVENT = 600.0  # seconds; memory is bounded by the longest one


class CutEvent(NamedTuple):
    """An event, and the clip that was cut at it, or why there is none."""

    annotation: Annotation
    clip: LoadedClip | DataError


def cut_events(annotations: Iterable[Annotation], preprocessing: Preprocessing) -> Iterator[CutEvent]:
    """Cut a clip at each event, decoding every recording once, in memory that its length does not change.

    A clip is called as its recording is, with its seconds.

    Args:
        annotations: the events, in any order.
        preprocessing: of the recognizer that the clips are for.

    Yields:
        Recording after recording, in the order of the events' ends: each event with its clip, or with the error that
        names the recording and the seconds.
    """
    by_file: dict[Path, list[Annotation]] = {}
    for annotation in annotations:
        by_file.setdefault(annotation.file, []).append(annotation)
    for file, events in by_file.items():
        short = [event for event in events if event.end - event.start <= LONGEST_EVENT]
        for event in events:
            if event.end - event.start > LONGEST_EVENT:
                length = f"{event.end - event.start:g} s long, expected at most {LONGEST_EVENT:g} s"
                yield CutEvent(event, _error(event, Rejected(Reason.TOO_LONG, length)))
        yield from _cut_recording(file, short, preprocessing)


def clip_name(annotation: Annotation) -> str:
    """The name of an event's clip: that of the recording, and the seconds."""
    name = as_text(annotation.file.name)
    return f"{name[: LONGEST_CLIP_NAME - 60]} {annotation.start:.3f}-{annotation.end:.3f} s"


def _cut_recording(file: Path, annotations: Sequence[Annotation], preprocessing: Preprocessing) -> Iterator[CutEvent]:
    rate = preprocessing.sample_rate
    pending = deque(sorted(annotations, key=lambda event: (event.end, event.start)))
    starts = np.array([round(event.start * rate) for event in pending], dtype=np.int64)
    needed_from = np.minimum.accumulate(starts[::-1]).tolist()  # by how many events are pending, less one
    decoding = Decoding(file, rate)
    rest, position = np.empty(0, np.float32), 0  # the samples from there on

    def cut(event: Annotation) -> CutEvent:
        first, last = (round(seconds * rate) - position for seconds in (event.start, event.end))
        return CutEvent(event, _clip(event, rest[first:last], preprocessing, decoding))

    try:
        for block in decoding:
            rest = np.concatenate([rest, block])
            while pending and round(pending[0].end * rate) <= position + len(rest):
                yield cut(pending.popleft())
            if not pending:
                return
            dropped = min(needed_from[len(pending) - 1] - position, len(rest))
            rest, position = rest[dropped:], position + dropped
    except Rejected as error:
        for event in pending:
            yield CutEvent(event, _error(event, error))
        return
    for event in pending:  # they end with the recording, but for a rounding error or an estimate of its length
        yield cut(event)


def _clip(
    event: Annotation, samples: Samples, preprocessing: Preprocessing, decoding: Decoding
) -> LoadedClip | DataError:
    try:
        preprocessing.normalize(samples, decoding.level.floor)  # refuses silence
        clip = LoadedClip.of(samples, preprocessing, clip_name(event))
    except Rejected as error:
        return _error(event, error)
    return replace(clip, damage=decoding.damage)


def _error(event: Annotation, error: Rejected) -> DataError:
    return DataError(f"{as_text(event.file)}, {event.start:g} to {event.end:g} s: {error}")
