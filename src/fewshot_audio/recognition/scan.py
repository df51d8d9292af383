"""Many recordings, one after another: a bad one never stops the others, and an interrupted scan can continue."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.answering import AnsweringRecognizer
from fewshot_audio.recognition.clips import LoadedClip, as_text
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.events import decide, make_event, merge
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.results import FileResult
from fewshot_audio.recognition.scan_journal import ScanJournal, recording_key
from fewshot_audio.recognition.windows import Window, scan_recording

LONGEST_CLIP = 600.0  # seconds; a longer recording is no clip with one answer


def scan(
    recognizer: AnsweringRecognizer,
    files: Sequence[Path],
    options: ScanOptions,
    journal: ScanJournal | None = None,
    progress: Progress = silent,
) -> Iterator[FileResult]:
    """Answer for each file, in order.

    Args:
        recognizer: the recognizer, with one enrolled class or more.
        files: the recordings; for those that cannot be used the result says why.
        options: how they are answered.
        journal: keeps each result; recordings that it has, unchanged since, are not read again.
        progress: reports the recordings done, and the position in a long one.
    """
    for number, path in enumerate(files):
        key = recording_key(path)
        result = journal.results.get(key) if journal else None
        report = partial(progress, "classifying", number, len(files))
        report(path.name)
        if result is None:
            result = answer_file(recognizer, path, options, report)
            if journal:
                journal.add(key, result)
        yield result
    progress("classifying", len(files), len(files))


def answer_file(
    recognizer: AnsweringRecognizer, path: Path, options: ScanOptions, report: Callable[[str], None] = lambda _: None
) -> FileResult:
    """Answer for one recording; if it cannot be used, the result's ``error`` says why.

    Args:
        recognizer: the recognizer.
        path: the recording.
        options: whether it is answered as one clip or in windows.
        report: takes the position in a long recording, as text.
    """
    try:
        if options.hop is None:
            result = _answer_clip(recognizer, path, options.threshold)
        else:
            result = _answer_windows(recognizer, path, options.hop, options.threshold, report)
    except Rejected as error:
        return FileResult(as_text(path), error=str(error))
    return FileResult(result.file, error=result.damage) if options.strict and result.damage else result


def _answer_clip(recognizer: AnsweringRecognizer, path: Path, threshold: float) -> FileResult:
    decoding = Decoding(path, recognizer.sample_rate)
    samples = _decode_clip(decoding, recognizer.sample_rate, recognizer.segment_seconds)
    seconds = len(samples) / recognizer.sample_rate
    try:
        decoding.level.check(recognizer.sample_rate)
        clip = LoadedClip.of(samples, recognizer.preprocessing)
    except Rejected as error:
        if error.reason != Reason.SILENT:
            raise
        return FileResult(
            as_text(path),
            seconds,
            windows=1,
            silent=1,
            rate=decoding.rate,
            silence=error.detail,
            damage=decoding.damage,
        )
    answers = recognizer.classify(clip)
    label = decide(answers[0], threshold)
    events = (make_event(0.0, seconds, label, answers),)
    return FileResult(
        as_text(path),
        seconds,
        windows=1,
        unknown=int(label == UNKNOWN),
        events=events,
        rate=decoding.rate,
        damage=decoding.damage,
    )


def _decode_clip(decoding: Decoding, rate: int, segment_seconds: float) -> Samples:
    """Decode a recording, in memory that is bounded by the longest clip."""
    blocks, samples = [], 0
    for block in decoding:
        blocks.append(block)
        samples += len(block)
        if samples > LONGEST_CLIP * rate:
            raise Rejected(
                Reason.TOO_LONG,
                f"more than {LONGEST_CLIP:g} s are no clip with one answer: scan it in windows, "
                f"with a hop of {segment_seconds:g} s or less",
            )
    return np.concatenate(blocks)


def _answer_windows(
    recognizer: AnsweringRecognizer, path: Path, hop: float, threshold: float, report: Callable[[str], None]
) -> FileResult:
    rate = recognizer.sample_rate
    decoding = Decoding(path, rate)
    windows = unknown = quiet = end = 0

    def counted() -> Iterator[Window]:
        nonlocal windows, unknown, quiet, end
        for window in scan_recording(recognizer, decoding, hop):
            windows, end = windows + 1, window.end
            quiet += window.answer is None
            unknown += window.answer is not None and decide(window.answer, threshold) == UNKNOWN
            if windows % 100 == 0:
                report(f"{path.name}: {end / rate / 60:.0f} min")
            yield window

    events = tuple(merge(counted(), rate, threshold))
    result = FileResult(
        as_text(path), end / rate, windows, unknown, quiet, events, rate=decoding.rate, damage=decoding.damage
    )
    try:
        decoding.level.check(rate)
    except Rejected as error:  # windows of what an ultrasonic call leaves below half of the rate have answers too
        return replace(result, unknown=0, silent=windows, events=(), silence=error.detail)
    return result
