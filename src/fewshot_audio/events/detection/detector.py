"""The detector of the events that a person marked a few of: fitted to examples, asked about recordings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.detection.candidates import best_apart, overlap
from fewshot_audio.events.detection.class_detector import ClassDetector
from fewshot_audio.events.detection.frames import FRAMES_PER_SECOND, RATE, Block, cut_blocks, mel_frames
from fewshot_audio.events.detection.label_model import Candidates, LabelModel, frame_step
from fewshot_audio.events.detection.lesson import hear_lessons, open_ear
from fewshot_audio.events.detection.lesson_reading import are_first, context_units, make_lesson, read_blocks
from fewshot_audio.events.detection.network import Hearing, open_hearing
from fewshot_audio.events.detection.options import THRESHOLD, DetectionOptions
from fewshot_audio.events.detection.rescore import Rescorer
from fewshot_audio.events.detection.rescore_fit import fit_rescorer, rescored
from fewshot_audio.events.detection.searcher import Searcher
from fewshot_audio.events.detection.select import merged, plausibly_many, without_overlaps
from fewshot_audio.events.detection.study import without_unmarked
from fewshot_audio.events.write import FileDetections
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.recognizer import Recognizer

LONGEST_EXAMPLE = 60.0
"""Seconds; a longer example is no event."""
LEAST_EXAMPLES = 2
SHORTEST_PART = 0.4
"""Minimum duration of an event, as a part of the shortest example, unless another is asked for."""


@dataclass(frozen=True)
class LabelDetector:
    """What detects one label.

    Args:
        model: proposes and judges candidates.
        rescorer: judges them once more; None if it has nothing to learn from.
        min_duration: seconds.
        band: lowest and highest frequency, the medians of the examples'; None where they are unknown.
        rate: examples per second of what they are all the events of; None if they are not.
    """

    model: LabelModel
    rescorer: Rescorer | None
    min_duration: float
    band: tuple[float | None, float | None]
    rate: float | None


class Detector(Searcher):
    """Detects the events of one or more labels in recordings.

    Args:
        labels: what detects each label.
        longest: seconds of the longest example.
        examples: the events that it was fitted to; they are not reported.
        options: how events are searched for.

    Example:
        >>> from fewshot_audio import read_annotations
        >>> table = read_annotations(Path("calls.txt"), audio=Path("recordings"))  # doctest: +SKIP
        >>> detector = Detector.fit(table.annotations)  # doctest: +SKIP
        >>> [(event.start, event.score) for event in detector.detect("recordings/dawn.wav")]  # doctest: +SKIP
    """

    def __init__(
        self,
        labels: dict[str, LabelDetector],
        longest: float,
        examples: Sequence[Annotation],
        options: DetectionOptions,
    ) -> None:
        self._labels, self._longest, self._examples, self._options = labels, longest, tuple(examples), options

    @classmethod
    def fit(
        cls,
        annotations: Sequence[Annotation],
        background: Sequence[Path] = (),
        options: DetectionOptions | None = None,
    ) -> Self:
        """Learn from marked events of one or more recordings.

        Events of other labels, and those of quality NEG, are counterexamples; from UNK nothing is learned. Two examples
        of a label suffice, five are better.

        Args:
            annotations: the events; each label with an event of quality POS is detected.
            background: recordings that hold none of the events.
            options: default: ``DetectionOptions()``.

        Raises:
            DataError: a label has fewer than two events of quality POS, one is too long, there is nothing but events to
                learn from, or a recording cannot be read.
        """
        options = options or DetectionOptions()
        examples = [mark for mark in annotations if mark.quality == "POS"]
        if not examples:
            raise DataError("no example to detect by: expected an event of quality POS")
        for mark in examples:
            if not 0.0 < mark.end - mark.start <= LONGEST_EXAMPLE:
                seconds = f"{mark.end - mark.start:g} s"
                raise DataError(f"{mark.file}: an example lasts {seconds}, expected above 0 and at most 60 s")
        labels = [mark.label for mark in examples]
        for label in dict.fromkeys(labels):
            if labels.count(label) < LEAST_EXAMPLES:
                raise DataError(f"one example of {label!r}: expected {LEAST_EXAMPLES} or more of each label")
        longest = max(mark.end - mark.start for mark in examples)
        files = list(dict.fromkeys(mark.file for mark in annotations))
        try:
            blocks = {path: read_blocks(path, [m for m in annotations if m.file == path], longest) for path in files}
            quiet = [block for path in background for block in read_blocks(path, (), longest, background=True)]
        except Rejected as error:
            raise DataError(f"a recording to learn from cannot be used: {error}") from error
        hearing = open_hearing(options.network)
        detectors = {
            label: _fit_label(label, annotations, blocks, quiet, options, hearing) for label in dict.fromkeys(labels)
        }
        return cls(detectors, longest, examples, options)

    @staticmethod
    def from_recognizer(recognizer: Recognizer, options: DetectionOptions | None = None) -> ClassDetector:
        """A detector of a recognizer's enrolled classes, which needs no marked events.

        Args:
            recognizer: with one enrolled class or more; its background and ignored classes are no events.
            options: default: ``DetectionOptions()``.

        Raises:
            ConfigError: an option concerns examples.
            DataError: no class is enrolled, or all are ignored.
        """
        return ClassDetector(recognizer, options)

    def search(
        self, path: Path, report: Callable[[str], None] = lambda _: None, *, minutes: int | None = None
    ) -> FileDetections:
        """The events in a recording, or in its first minutes, as ``Searcher.search`` has it, without the examples."""
        decoding = Decoding(path, RATE)
        seconds = 0.0
        parts: dict[str, list[Candidates]] = {label: [] for label in self._labels}
        try:
            for block in islice(cut_blocks(mel_frames(decoding), context_units(self._longest)), minutes):
                seconds = block.core[1] / FRAMES_PER_SECOND
                report(f"{path.name}: {seconds / 60:.0f} min")
                excerpts = {own.model.step: block.excerpt(own.model.step) for own in self._labels.values()}
                for label, own in self._labels.items():
                    parts[label].append(own.model.candidates(excerpts[own.model.step]))
            if minutes is None:  # what begins with silence may be loud later
                decoding.level.check(RATE)
            events = [event for label in self._labels for event in self._events(path, label, parts[label], seconds)]
        except Rejected as error:
            return FileDetections(as_text(path), error=str(error))
        events = events if self._options.overlaps else without_overlaps(events)
        ordered = tuple(sorted(events, key=lambda event: (event.start, event.end, event.label)))
        return FileDetections(as_text(path), seconds, ordered, decoding.rate, decoding.damage)

    def _events(self, path: Path, label: str, parts: Sequence[Candidates], seconds: float) -> list[Detection]:
        own, options = self._labels[label], self._options
        candidates = Candidates.joined(parts)
        candidates = candidates.take(best_apart(candidates.starts, candidates.ends, candidates.agreement()))
        marks = [mark for mark in self._examples if mark.label == label and mark.file == path.resolve()]
        if marks and len(candidates.starts):
            given = np.array([(mark.start, mark.end) for mark in marks])
            share = overlap(candidates.starts, candidates.ends, given[:, 0], given[:, 1]).max(axis=1)
            candidates = candidates.take(np.flatnonzero(share < 0.3))
        if own.rescorer:
            candidates = rescored(own.rescorer, path, candidates)
        scores = 1.0 / (1.0 + np.exp(-candidates.log_odds))
        shortest = own.min_duration if options.min_duration is None else options.min_duration
        events = [
            Detection(float(start), float(end), label, float(score), *own.band)
            for start, end, score in zip(candidates.starts, candidates.ends, scores, strict=True)
            if score >= (THRESHOLD if options.threshold is None else options.threshold)
        ]
        events = [event for event in merged(events, options.merge_gap) if event.end - event.start >= shortest]
        if options.threshold is None and own.rate is not None and marks:
            rest = seconds - max(mark.end for mark in marks)
            events = plausibly_many(events, own.rate * max(0.0, rest))
        return events


def _fit_label(
    label: str,
    annotations: Sequence[Annotation],
    blocks: dict[Path, list[Block]],
    quiet: Sequence[Block],
    options: DetectionOptions,
    hearing: Hearing,
) -> LabelDetector:
    examples = [mark for mark in annotations if mark.label == label and mark.quality == "POS"]
    counterexamples = [
        mark
        for mark in annotations
        if mark.quality == "NEG" or (mark.quality == "POS" and mark.label != label and not _meets(mark, examples))
    ]
    durations = [mark.end - mark.start for mark in examples]
    step = frame_step(durations)
    last_ends = {path: max([m.end for m in examples if m.file == path], default=0.0) for path in blocks}
    complete = options.complete_between
    if complete is None:
        complete = all(are_first(path, end) for path, end in last_ends.items() if end)
    lessons = []
    sources = []
    for path, own in blocks.items():
        here = [mark for mark in examples if mark.file == path]
        against = [mark for mark in counterexamples if mark.file == path]
        unsure = [mark for mark in annotations if mark.file == path and mark.quality == "UNK"]
        for block in own:
            known_end = last_ends[path] if complete else float("inf")
            lessons.append(make_lesson(block, step, known_end, here, against, unsure))
            sources.append(path)
    silent = [make_lesson(block, step, float("inf")) for block in quiet]
    ear = open_ear(lessons, hearing)
    heard, heard_silent = hear_lessons(lessons, ear), hear_lessons(silent, ear)
    if not complete:
        heard = without_unmarked(heard)
    model = LabelModel.fit([*heard, *heard_silent], step, ear)
    rescorer = None
    if options.rescore and complete:  # among what may be unmarked events, it has nothing certain to learn from
        rescorer = fit_rescorer(model, lessons, sources, examples)
    lows, highs = [mark.low_hz for mark in examples], [mark.high_hz for mark in examples]
    rate = len(examples) / sum(last_ends.values()) if complete else None
    return LabelDetector(model, rescorer, SHORTEST_PART * min(durations), (_median(lows), _median(highs)), rate)


def _meets(mark: Annotation, others: Sequence[Annotation]) -> bool:
    return any(mark.file == other.file and mark.start < other.end and other.start < mark.end for other in others)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None
