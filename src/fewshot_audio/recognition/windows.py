"""Long recordings: windows that slide over a stream of samples, each answered as a clip of its own."""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.timbre import segment_timbre
from fewshot_audio.errors import ConfigError
from fewshot_audio.recognition.answering import AnsweringRecognizer
from fewshot_audio.recognition.embedder import GROUP
from fewshot_audio.recognition.encoders import Encoded
from fewshot_audio.recognition.enrolled import Classification
from fewshot_audio.recognition.scoring import Rows
from fewshot_audio.recognition.sliding import slide
from fewshot_audio.runtime.ahead import map_ahead


@dataclass(frozen=True)
class Window:
    """A part of a recording, from sample ``start`` to ``end``, and its answer; None if it is silent."""

    start: int
    end: int
    answer: Classification | None


@dataclass(frozen=True)
class EmbeddedWindow:
    """What decisions use of a window.

    Args:
        start: its first sample.
        end: the sample behind its last one.
        rows: of the network, (segments x rows, width); None if the window is silent.
        segments: how many segments it has.
        timbre: of its segments, if that was asked for.
        encoded: its rows by the frozen encoders that were asked for.
    """

    start: int
    end: int
    rows: Rows | None = None
    segments: int = 0
    timbre: Samples | None = None
    encoded: Encoded = field(default_factory=dict)


class _Embedded(NamedTuple):
    rows: Rows
    segments: int
    timbre: Samples | None
    encoded: Encoded


class _Heard(NamedTuple):
    """What is kept of a part until its group is embedded."""

    features: Samples
    timbre: Samples | None
    encoded: Encoded


T = TypeVar("T")
AHEAD = GROUP // 4  # parts that are described side by side, while a group is embedded too


def scan_recording(recognizer: AnsweringRecognizer, decoding: Decoding, hop_seconds: float) -> Iterator[Window]:
    """Answer for the windows of a recording, as ``embed_windows`` cuts them.

    Each answer is, bit for bit, that for a file with these samples. All are answered by the classes that are enrolled
    at the start.

    Raises:
        ConfigError: the hop is not above 0 and at most a segment.
        DataError: no class is enrolled.
        Rejected: the recording cannot be used; for damage in the middle, after the windows before it.
    """
    for (start, end), answer in answer_parts(recognizer, decoding, _cut(recognizer, decoding, hop_seconds)):
        yield Window(start, end, answer)


def answer_parts(
    recognizer: AnsweringRecognizer, decoding: Decoding, parts: Iterable[tuple[T, Samples]]
) -> Iterator[tuple[T, Classification | None]]:
    """Answer for parts of a recording, each as a clip of its own, by the classes that are enrolled at the start.

    Args:
        recognizer: with one class or more.
        decoding: of the recording.
        parts: whatever names a part, and its samples at the recognizer's rate.

    Yields:
        The name of each part, in order, and its answer; None if it is silent.

    Raises:
        DataError: no class is enrolled.
        Rejected: a part cannot be used.
    """
    enrolled = recognizer.snapshot()
    for name, own in _embed(recognizer, decoding, parts, enrolled.needs_timbre, enrolled.encoders):
        yield name, recognizer.judge(enrolled, *own) if own else None


def embed_windows(
    recognizer: AnsweringRecognizer,
    decoding: Decoding,
    hop_seconds: float,
    *,
    timbre: bool,
    encoders: Collection[str],
) -> Iterator[EmbeddedWindow]:
    """Embed the windows of a recording, in memory that does not grow with it.

    Windows are a segment long and cut from the recording as it is at the recognizer's rate. What is left at the end is
    a window of its own, unless it is shorter than one FFT window.

    Args:
        recognizer: its network and frozen encoders embed them.
        decoding: of the recording, at the recognizer's rate.
        hop_seconds: from the start of a window to that of the next.
        timbre: whether their timbre is described too.
        encoders: names of the frozen encoders that embed them too.

    Raises:
        ConfigError: the hop is not above 0 and at most a segment.
        Rejected: the recording cannot be used; for damage in the middle, after the windows before it.
    """
    for span, own in _embed(recognizer, decoding, _cut(recognizer, decoding, hop_seconds), timbre, encoders):
        start, end = span
        yield EmbeddedWindow(start, end, *own) if own else EmbeddedWindow(start, end)


def _cut(
    recognizer: AnsweringRecognizer, decoding: Decoding, hop_seconds: float
) -> Iterator[tuple[tuple[int, int], Samples]]:
    """The windows of a recording: first sample, the one behind the last, and the samples."""
    preprocessing = recognizer.preprocessing
    hop = hop_samples(preprocessing, hop_seconds)
    for start, samples in slide(iter(decoding), preprocessing.segment_samples, hop):
        if not start or len(samples) >= preprocessing.n_fft:
            yield (start, start + len(samples)), samples


def _embed(
    recognizer: AnsweringRecognizer,
    decoding: Decoding,
    parts: Iterable[tuple[T, Samples]],
    timbre: bool,
    encoders: Collection[str],
) -> Iterator[tuple[T, _Embedded | None]]:
    """Embed parts of a recording, each as a clip of its own; None stands for a silent one."""
    preprocessing, embedder = recognizer.preprocessing, recognizer.embedder
    group: list[tuple[T, _Heard | None]] = []

    def embed_group() -> Iterator[tuple[T, _Embedded | None]]:
        rows = embedder.clip_rows([heard.features for _, heard in group if heard])
        for name, heard in group:
            own = _Embedded(next(rows), len(heard.features), heard.timbre, heard.encoded) if heard else None
            yield name, own
        group.clear()

    def hear(part: tuple[T, Samples, float]) -> tuple[T, _Heard | None]:
        name, samples, floor = part
        try:
            # Only the features of a group are held: its waveforms would take four times the memory.
            segments = preprocessing.segments(preprocessing.normalize(samples, floor))
        except Rejected as error:
            if error.reason != Reason.SILENT:
                raise
            return name, None
        timbres = segment_timbre(segments, len(samples), preprocessing.sample_rate) if timbre else None
        encoded = recognizer.encoders.rows(segments, len(samples), preprocessing.sample_rate, encoders)
        return name, _Heard(embedder.features(segments), timbres, encoded)

    # A recording's floor is known when its first part is.
    for heard in map_ahead(hear, ((name, samples, decoding.level.floor) for name, samples in parts), AHEAD):
        group.append(heard)
        if len(group) == GROUP:
            yield from embed_group()
    yield from embed_group()


def hop_samples(preprocessing: Preprocessing, hop_seconds: float) -> int:
    """Samples from a window to the next. Raises ConfigError if that is not above 0 and at most a segment."""
    hop = round(hop_seconds * preprocessing.recording_rate) if math.isfinite(hop_seconds) else 0
    if not 0 < hop <= preprocessing.segment_samples:
        longest = preprocessing.recording_seconds
        raise ConfigError(f"hop of {hop_seconds:g} s: expected above 0 and at most {longest:g} s")
    return hop
