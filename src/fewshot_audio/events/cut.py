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
SHORTEST_EVENT = 0.02  # seconds


class CutEvent(NamedTuple):
    """An event, and the clip that was cut at it, or why there is none."""

    annotation: Annotation
    clip: LoadedClip | DataError


def cut_events(annotations: Iterable[Annotation], preprocessing: Preprocessing) -> Iterator[CutEvent]:
    """Cut a clip at each event, decoding every recording once, in memory that its length does not change.

    A clip is called as its recording is, with its seconds; the recording is its group.

    Args:
        annotations: the events, in any order.
        preprocessing: of the recognizer that the clips are for.

    Yields:
        Recording after recording, in the order of the events' ends: each event with its clip, or with the error that
        names the recording and the seconds.
    """
    by_file: dict[Path, list[Annotation]] = {}
    for event in annotations:
        length = event.end - event.start
        if length > LONGEST_EVENT:
            detail = f"{length:g} s long, expected at most {LONGEST_EVENT:g} s"
            yield CutEvent(event, _error(event, Rejected(Reason.TOO_LONG, detail)))
        elif round(length, 6) < SHORTEST_EVENT:
            detail = f"{length:g} s long, expected at least {SHORTEST_EVENT:g} s"
            yield CutEvent(event, _error(event, Rejected(Reason.TOO_SHORT, detail)))
        else:
            by_file.setdefault(event.file, []).append(event)
    for file, events in by_file.items():
        yield from _cut_recording(file, events, preprocessing)


def clip_name(annotation: Annotation) -> str:
    """The name of an event's clip: that of the recording, and the seconds."""
    return f"{recording_name(annotation.file)} {annotation.start:.3f}-{annotation.end:.3f} s"


def recording_name(file: Path) -> str:
    """The name of a recording, as its clips have it and their group: without its folders, which concern nobody else."""
    return as_text(file.name)[: LONGEST_CLIP_NAME - 60]


def _cut_recording(file: Path, annotations: Sequence[Annotation], preprocessing: Preprocessing) -> Iterator[CutEvent]:
    spans = {event: _span(event, preprocessing) for event in annotations}
    pending = deque(sorted(annotations, key=lambda event: spans[event][::-1]))
    starts = np.array([spans[event][0] for event in pending], dtype=np.int64)
    needed_from = np.minimum.accumulate(starts[::-1]).tolist()  # by how many events are pending, less one
    decoding = Decoding(file, preprocessing.recording_rate)
    rest, position = np.empty(0, np.float32), 0  # the samples from there on

    def cut(event: Annotation) -> CutEvent:
        first, last = (sample - position for sample in spans[event])
        return CutEvent(event, _clip(event, rest[first:last], preprocessing, decoding))

    try:
        for block in decoding:
            rest = np.concatenate([rest, block])
            while pending and spans[pending[0]][1] <= position + len(rest):
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


def _span(event: Annotation, preprocessing: Preprocessing) -> tuple[int, int]:
    """The first sample of an event and the one after its last; a shorter one is widened to an FFT window."""
    first, last = (round(seconds * preprocessing.recording_rate) for seconds in (event.start, event.end))
    missing = preprocessing.n_fft - (last - first)
    if missing <= 0:
        return first, last
    first = max(0, first - missing // 2)
    return first, first + preprocessing.n_fft


def _clip(
    event: Annotation, samples: Samples, preprocessing: Preprocessing, decoding: Decoding
) -> LoadedClip | DataError:
    try:
        preprocessing.normalize(samples, decoding.level.floor)  # refuses silence
        clip = LoadedClip.of(samples, preprocessing, clip_name(event))
    except Rejected as error:
        return _error(event, error)
    return replace(clip, damage=decoding.damage, group=recording_name(event.file))


def _error(event: Annotation, error: Rejected) -> DataError:
    return DataError(f"{as_text(event.file)}, {event.start:g} to {event.end:g} s: {error}")
