"""Long recordings: windows that slide over a stream of samples, each answered as a clip of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.timbre import segment_timbre
from fewshot_audio.errors import ConfigError
from fewshot_audio.recognition.answering import AnsweringRecognizer
from fewshot_audio.recognition.embedder import GROUP
from fewshot_audio.recognition.encoders import Encoded
from fewshot_audio.recognition.enrolled import Classification
from fewshot_audio.recognition.sliding import slide


@dataclass(frozen=True)
class Window:
    """A part of a recording, from sample ``start`` to ``end``, and its answer; None if it is silent."""

    start: int
    end: int
    answer: Classification | None


T = TypeVar("T")


class _Heard(NamedTuple):
    """What is kept of a window until its group is answered."""

    features: Samples
    timbre: Samples | None
    encoded: Encoded


def scan_recording(recognizer: AnsweringRecognizer, decoding: Decoding, hop_seconds: float) -> Iterator[Window]:
    """Answer for the windows of a recording, in memory that does not grow with it.

    Windows are a segment long and cut from the recording as it is at the recognizer's rate: each answer is, bit for
    bit, that for a file with these samples. What is left at the end is a window of its own, unless it is shorter than
    one FFT window. All are answered by the classes that are enrolled at the start.

    Raises:
        ConfigError: the hop is not above 0 and at most a segment.
        DataError: no class is enrolled.
        Rejected: the recording cannot be used; for damage in the middle, after the windows before it.
    """
    preprocessing = recognizer.preprocessing
    length, hop = preprocessing.segment_samples, round(hop_seconds * preprocessing.recording_rate)
    if not 0 < hop <= length:
        longest = preprocessing.recording_seconds
        raise ConfigError(f"hop of {hop_seconds:g} s: expected above 0 and at most {longest:g} s")
    windows = (
        ((start, start + len(samples)), samples)
        for start, samples in slide(iter(decoding), length, hop)
        if not start or len(samples) >= preprocessing.n_fft
    )
    for (start, end), answer in answer_parts(recognizer, decoding, windows):
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
    preprocessing, enrolled, embedder = recognizer.preprocessing, recognizer.snapshot(), recognizer.embedder
    group: list[tuple[T, _Heard | None]] = []

    def answer_group() -> Iterator[tuple[T, Classification | None]]:
        rows = embedder.clip_rows([heard.features for _, heard in group if heard])
        for name, heard in group:
            answer = None
            if heard:
                answer = recognizer.judge(enrolled, next(rows), len(heard.features), heard.timbre, heard.encoded)
            yield name, answer
        group.clear()

    for name, samples in parts:
        try:
            # Only the features of a group are held: its waveforms would take four times the memory.
            segments = preprocessing.segments(preprocessing.normalize(samples, decoding.level.floor))
            timbre = None
            if enrolled.needs_timbre:
                timbre = segment_timbre(segments, len(samples), preprocessing.sample_rate)
            encoded = recognizer.encoders.rows(segments, len(samples), preprocessing.sample_rate, enrolled.encoders)
            heard = _Heard(embedder.features(segments), timbre, encoded)
        except Rejected as error:
            if error.reason != Reason.SILENT:
                raise
            heard = None
        group.append((name, heard))
        if len(group) == GROUP:
            yield from answer_group()
    yield from answer_group()
