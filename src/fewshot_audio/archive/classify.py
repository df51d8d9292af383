"""Answers for all windows of an index, without embedding them again: those of ``classify --hop``, to 16 bits."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.halves import Singles, widen
from fewshot_audio.archive.index import Index, Run
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.enrolled import Enrolled
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.many_answers import ManyAnswers, answer_many
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.results import FileResult
from fewshot_audio.recognition.scoring import Counts
from fewshot_audio.runtime.cores import usable_cores

STEP = 1024  # windows that are answered at once; their numbers of 64 bits stay in the cache of a core
SILENT, UNKNOWN = -2, -1  # instead of the number of a class


@dataclass(frozen=True)
class IndexAnswers:
    """Answers for all windows of an index.

    Attributes:
        classes: names of the enrolled classes.
        probabilities: (windows, classes), float32; 0 for silent windows.
        unknown_scores: (windows,), float32.
        labels: number of the class, ``UNKNOWN`` or ``SILENT``, (windows,).
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    unknown_scores: NDArray[np.float32]
    labels: NDArray[np.int16]


def answer_index(
    index: Index, recognizer: Recognizer, threshold: float = 0.0, progress: Progress = silent
) -> IndexAnswers:
    """Answer for all windows.

    Args:
        index: the index.
        recognizer: its network made the embeddings.
        threshold: probability of the best class below which a window is unknown.
        progress: reports the windows done.

    Raises:
        DataError: another network made the embeddings, the index lacks an encoder that counts, or no class is enrolled.
    """
    enrolled = recognizer.snapshot()
    digests = {name: recognizer.encoders.digests[name] for name in enrolled.encoders}
    index.description.check_recognizer(recognizer, index.folder, digests)
    windows, classes = len(index), tuple(enrolled.classes)
    answers = IndexAnswers(
        classes,
        np.zeros((windows, len(classes)), np.float32),
        np.zeros(windows, np.float32),
        np.full(windows, SILENT, np.int16),
    )

    def answer(piece: Run) -> int:
        _answer_piece(index, piece, recognizer, enrolled, threshold, answers)
        return piece.first + piece.windows

    progress("classifying", 0, windows)
    with ThreadPoolExecutor(usable_cores()) as threads:
        for done in threads.map(answer, index.pieces()):
            progress("classifying", done, windows)
    return answers


def _answer_piece(
    index: Index, piece: Run, recognizer: Recognizer, enrolled: Enrolled, threshold: float, answers: IndexAnswers
) -> None:
    blocks = ["embedding", "timbre", *map(encoder_block, enrolled.encoders)]
    halves = {block: index.read(block, piece) for block in blocks}
    for begin in range(0, piece.windows, STEP):
        parts = {block: widen(values[begin : begin + STEP]) for block, values in halves.items()}
        loud = parts["timbre"].any(axis=1)
        if not loud.any():
            continue
        many = _answer_rows(index, {block: values[loud] for block, values in parts.items()}, recognizer, enrolled)
        windows = np.flatnonzero(loud) + piece.first + begin
        answers.probabilities[windows] = many.probabilities
        answers.unknown_scores[windows] = many.unknown_scores
        answers.labels[windows] = _labels(many, threshold)


def _answer_rows(index: Index, rows: Mapping[str, Singles], recognizer: Recognizer, enrolled: Enrolled) -> ManyAnswers:
    """Answer for windows, none of which is silent, by their rows of each block, (windows, width)."""
    return answer_many(
        enrolled,
        rows["embedding"].reshape(len(rows["embedding"]), index.description.rows, -1),
        rows["timbre"],
        {name: rows[encoder_block(name)] for name in enrolled.encoders},
        recognizer.embedder,
        recognizer.calibration,
    )


def answer_windows(index: Index, recognizer: Recognizer, windows: Counts) -> ManyAnswers:
    """Answer for some windows, none of which is silent; they are held in memory. Raises as ``answer_index`` does."""
    enrolled = recognizer.snapshot()
    digests = {name: recognizer.encoders.digests[name] for name in enrolled.encoders}
    index.description.check_recognizer(recognizer, index.folder, digests)
    blocks = ["embedding", "timbre", *map(encoder_block, enrolled.encoders)]
    return _answer_rows(index, {block: index.rows(block, windows) for block in blocks}, recognizer, enrolled)


def _labels(many: ManyAnswers, threshold: float) -> Counts:
    likely = many.probabilities[np.arange(len(many.best)), many.best] >= threshold
    labels: Counts = np.where(likely & ~many.is_unknown, many.best, UNKNOWN)
    return labels


def index_results(
    index: Index, answers: IndexAnswers, archive: Path | None = None, *, strict: bool = False
) -> Iterator[FileResult]:
    """The answers for each recording, in the order of their names, as a scan gives them.

    Args:
        index: the index.
        answers: for its windows.
        archive: folder that names of recordings are below, to write whole paths; default: the names.
        strict: whether a recording of which a part cannot be decoded is refused.
    """
    for number in sorted(range(len(index.recordings)), key=lambda place: index.recordings[place].file):
        recording = index.recordings[number]
        file = as_text(archive / recording.file if archive else recording.file)
        if recording.error or (strict and recording.damage):
            yield FileResult(file, error=recording.error or recording.damage)
            continue
        first = int(index.first_windows[number])
        part = slice(first, first + recording.windows)
        labels = answers.labels[part]
        quiet = int((labels == SILENT).sum())
        events: Sequence[Event] = () if recording.silence else _events(index, answers, recording, part)
        yield FileResult(
            file,
            recording.samples / index.description.rate,
            recording.windows,
            0 if recording.silence else int((labels == UNKNOWN).sum()),
            recording.windows if recording.silence else quiet,
            tuple(events),
            rate=recording.rate,
            silence=recording.silence,
            damage=recording.damage,
        )


def _events(index: Index, answers: IndexAnswers, recording: IndexedRecording, part: slice) -> list[Event]:
    """Windows of the same class that follow each other, as ``recognition.events.merge`` joins them."""
    labels, values = answers.labels[part], answers.probabilities[part]
    begins = np.flatnonzero(np.diff(labels, prepend=SILENT - 1))
    counts = np.diff(np.append(begins, len(labels)))
    means = (np.add.reduceat(values, begins, dtype=np.float64) / counts[:, None]).tolist()
    highest = np.maximum.reduceat(values, begins).tolist()
    unknown_scores = np.minimum.reduceat(answers.unknown_scores[part], begins).tolist()
    events = []
    for number, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        label = int(labels[begin])
        if label >= 0:
            start, end = (
                recording.window(begin, index.description)[0],
                recording.window(begin + count - 1, index.description)[1],
            )
            probabilities = dict(zip(answers.classes, means[number], strict=True))
            name, score = answers.classes[label], highest[number][label]
            events.append(Event(start, end, name, score, unknown_scores[number], count, probabilities))
    return events
