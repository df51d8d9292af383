"""The detector of enrolled classes: audible stretches of a recording, each answered by a recognizer as a clip."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import ConfigError
from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.detection.candidates import agreement, best_apart
from fewshot_audio.events.detection.frames import FLOOR_UNITS, UNIT, Numbers, cut_blocks, hop_of, mel_frames
from fewshot_audio.events.detection.options import CLASS_MERGE_GAP, CLASS_THRESHOLD, DetectionOptions
from fewshot_audio.events.detection.searcher import Searcher
from fewshot_audio.events.detection.select import merged, without_overlaps
from fewshot_audio.events.detection.snippets import cut_snippets
from fewshot_audio.events.detection.stretches import SHORTEST, STEP, audible_stretches
from fewshot_audio.events.write import FileDetections
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.enrolled import Classification
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.windows import answer_parts


class ClassDetector(Searcher):
    """Detects the sounds of a recognizer's enrolled classes in recordings.

    A recording is read twice, in bounded memory: for its audible stretches (``audible_stretches``), up to a segment
    long, and for the answers to them. Each is taken for its most probable class, with a score (``event_score``) that
    is low if it is unknown, or like the background or an ignored class. Of those of one class that overlap, the one
    stays with which the others agree best; of those of different classes, the one with the highest score.

    Args:
        recognizer: with one enrolled class or more, of which those of the moment of a search count.
        options: how events are searched for.

    Raises:
        ConfigError: an option concerns examples.
        DataError: no class is enrolled, or all are ignored.
    """

    def __init__(self, recognizer: Recognizer, options: DetectionOptions | None = None) -> None:
        self._recognizer, self._options = recognizer, options or DetectionOptions()
        if self._options.complete_between is not None or not self._options.rescore or self._options.network is not None:
            raise ConfigError(
                "complete_between, rescore and network concern marked examples, of which a recognizer has none"
            )
        recognizer.snapshot()

    def search(self, path: Path, report: Callable[[str], None] = lambda _: None) -> FileDetections:
        """The events in a recording, as ``Searcher.search`` has it."""
        preprocessing = self._recognizer.preprocessing
        rate = preprocessing.recording_rate
        decoding = Decoding(path, rate)
        # Frames are those of the sound as the network hears it, which may be slower than the recording.
        hop = hop_of(preprocessing.sample_rate) * STEP
        longest = round(preprocessing.segment_seconds * preprocessing.sample_rate / hop)
        context = FLOOR_UNITS + 2 + -(-longest * STEP // UNIT)
        parts, seconds = [], 0.0
        try:
            for block in cut_blocks(mel_frames(decoding, preprocessing.sample_rate), context):
                seconds = block.core[1] / STEP * hop / rate
                report(f"{path.name}: {seconds / 60:.0f} min")
                parts.append(audible_stretches(block.excerpt(STEP), longest))
            decoding.level.check(rate)
            starts, ends = (np.concatenate([getattr(part, name) for part in parts]) for name in ("starts", "ends"))
            events = self._events(path, starts * hop / rate, ends * hop / rate)
        except Rejected as error:
            return FileDetections(as_text(path), error=str(error))
        return FileDetections(as_text(path), seconds, tuple(events), decoding.rate, decoding.damage)

    def _events(self, path: Path, starts: Numbers, ends: Numbers) -> list[Detection]:
        """The events among stretches of a recording, which begin and end at these seconds, (n,) each."""
        preprocessing, options = self._recognizer.preprocessing, self._options
        rate, shortest = preprocessing.recording_rate, SHORTEST / preprocessing.slowdown
        decoding, unknown_threshold = Decoding(path, rate), self._recognizer.unknown_threshold
        snippets = cut_snippets(decoding, rate, starts, ends, preprocessing.recording_seconds, shortest)
        by_label: dict[str, list[Detection]] = {}
        for number, answer in answer_parts(self._recognizer, decoding, snippets):
            if answer is not None:
                score = event_score(answer, unknown_threshold)
                stretch = Detection(float(starts[number]), float(ends[number]), answer.best, score)
                by_label.setdefault(answer.best, []).append(stretch)
        least = CLASS_THRESHOLD if options.threshold is None else options.threshold
        gap = CLASS_MERGE_GAP if options.merge_gap is None else options.merge_gap
        events = [
            event
            for own in by_label.values()
            for event in merged([event for event in _apart(own) if event.score >= least], gap)
            if event.end - event.start >= (options.min_duration or 0.0)
        ]
        return sorted(
            events if options.overlaps else without_overlaps(events),
            key=lambda event: (event.start, event.end, event.label),
        )


def event_score(answer: Classification, unknown_threshold: float | None) -> float:
    """How sure it is that a sound is of its best class, 0 to 1.

    The probability of the class over 1 + u^2, where u is the unknown score in units of its threshold: near 0 for sounds
    like the enrolled ones, 1 where they begin to be unknown, or are as much like the background as like the class.

    Args:
        answer: for the sound.
        unknown_threshold: unknown score above which it would be unknown; None if nothing is.
    """
    excess = 0.0 if unknown_threshold is None else answer.unknown_score / unknown_threshold
    return answer.probabilities[answer.best] / (1.0 + excess**2)


def _apart(stretches: Sequence[Detection]) -> list[Detection]:
    """Of overlapping stretches of one class that with which the others agree best."""
    starts, ends, scores = (np.array([getattr(each, name) for each in stretches]) for name in ("start", "end", "score"))
    log_odds = np.log(np.maximum(scores, 1e-9) / np.maximum(1.0 - scores, 1e-9))
    return [stretches[number] for number in best_apart(starts, ends, agreement(starts, ends, log_odds))]
